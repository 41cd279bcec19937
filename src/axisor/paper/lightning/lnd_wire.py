"""The JSON of LND's REST API, as its gateway writes it.

Every field is there, also the empty ones; 64-bit numbers are decimal strings, bytes base64, enumerations their names.
Shapes: `lightning.proto`, `invoicesrpc/invoices.proto` and `routerrpc/router.proto` of LND 0.20.
"""

import base64
from datetime import datetime
from typing import Any, Final

from axisor.infra.lightning.bolt11 import MSATS_PER_SAT, Invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.paper.clock import epoch_ms
from axisor.paper.lightning.node import MIN_FINAL_CLTV, Node
from axisor.paper.lightning.ports import InvoiceState, PaymentState
from axisor.paper.lightning.records import InvoiceRecord, PaymentRecord

VERSION: Final = "0.20.0-beta"
_NS_PER_MS: Final = 1_000_000
_BLOCK_S: Final = 600
_COLOR: Final = "#f7931a"
_FEATURE_NAMES: Final = {
    8: "tlv-onion",
    9: "tlv-onion",
    14: "payment-addr",
    15: "payment-addr",
    16: "multi-path-payments",
    17: "multi-path-payments",
    24: "route-blinding",
    25: "route-blinding",
    48: "payment-metadata",
    49: "payment-metadata",
}
_FULL_CHANNEL_ID: Final = "1"


def b64(hex_digits: str) -> str:
    """Return the base64 text of hex digits."""
    return base64.b64encode(bytes.fromhex(hex_digits)).decode()


def get_info(node: Node, now: datetime) -> dict[str, Any]:
    seconds = epoch_ms(now) // 1_000
    return {
        "version": VERSION,
        "commit_hash": "",
        "identity_pubkey": node.public_key,
        "alias": node.alias,
        "color": _COLOR,
        "num_pending_channels": 0,
        "num_active_channels": 1,
        "num_inactive_channels": 0,
        "num_peers": 1,
        "block_height": seconds // _BLOCK_S,
        "block_hash": "0" * 64,
        "best_header_timestamp": str(seconds // _BLOCK_S * _BLOCK_S),
        "synced_to_chain": True,
        "synced_to_graph": True,
        "testnet": node.network is BitcoinNetwork.TESTNET,
        "chains": [{"chain": "bitcoin", "network": str(node.network)}],
        "uris": [],
        "features": _features(frozenset({9, 14, 17})),
        "require_htlc_interceptor": False,
        "store_final_htlc_resolutions": False,
    }


def channel_balance(node: Node) -> dict[str, Any]:
    local, remote = node.counters.balance_msat, node.counters.inbound_msat
    sending = sum(each.amount_msat + each.fee_msat for each in node.in_flight() if each.is_locked)
    receiving = sum(each.paid_msat for each in node.accepted())
    return {
        "balance": str(local // MSATS_PER_SAT),
        "pending_open_balance": "0",
        "local_balance": _amount(local),
        "remote_balance": _amount(remote),
        "unsettled_local_balance": _amount(sending),
        "unsettled_remote_balance": _amount(receiving),
        "pending_open_local_balance": _amount(0),
        "pending_open_remote_balance": _amount(0),
        "custom_channel_data": "",
    }


def pay_req(invoice: Invoice) -> dict[str, Any]:
    amount_msat = invoice.amount_msat or 0
    return {
        "destination": invoice.payee.hex(),
        "payment_hash": invoice.payment_hash.hex(),
        "num_satoshis": str(amount_msat // MSATS_PER_SAT),
        "timestamp": str(invoice.timestamp),
        "expiry": str(invoice.expiry_s),
        "description": invoice.description or "",
        "description_hash": "" if invoice.description_hash is None else invoice.description_hash.hex(),
        "fallback_addr": next(iter(invoice.fallback_addresses), ""),
        "cltv_expiry": str(invoice.min_final_cltv),
        "route_hints": [],
        "payment_addr": base64.b64encode(invoice.payment_secret).decode(),
        "num_msat": str(amount_msat),
        "features": _features(invoice.features),
        "blinded_paths": [],
    }


def added_invoice(invoice: InvoiceRecord) -> dict[str, Any]:
    return {
        "r_hash": b64(invoice.payment_hash),
        "payment_request": invoice.payment_request,
        "add_index": str(invoice.add_index),
        "payment_addr": b64(invoice.payment_secret),
    }


def invoice_of(invoice: InvoiceRecord) -> dict[str, Any]:
    amount_msat = invoice.amount_msat or 0
    is_settled = invoice.state is InvoiceState.SETTLED
    paid_msat = invoice.paid_msat if is_settled else 0
    return {
        "memo": invoice.memo,
        "r_preimage": b64(invoice.preimage),
        "r_hash": b64(invoice.payment_hash),
        "value": str(amount_msat // MSATS_PER_SAT),
        "value_msat": str(amount_msat),
        "settled": is_settled,
        "creation_date": str(invoice.created_at_ms // 1_000),
        "settle_date": str((invoice.settled_at_ms or 0) // 1_000),
        "payment_request": invoice.payment_request,
        "description_hash": b64(invoice.description_hash or ""),
        "expiry": str(invoice.expiry_s),
        "fallback_addr": "",
        "cltv_expiry": str(MIN_FINAL_CLTV),
        "route_hints": [],
        "private": False,
        "add_index": str(invoice.add_index),
        "settle_index": str(invoice.settle_index),
        "amt_paid": str(paid_msat),
        "amt_paid_sat": str(paid_msat // MSATS_PER_SAT),
        "amt_paid_msat": str(paid_msat),
        "state": invoice.state.upper(),
        "htlcs": [_invoice_htlc(invoice)] if invoice.paid_msat else [],
        "features": _features(frozenset({8, 14})),
        "is_keysend": False,
        "payment_addr": b64(invoice.payment_secret),
        "is_amp": False,
        "amp_invoice_state": {},
        "is_blinded": False,
        "blinded_path_config": None,
    }


def payment_of(payment: PaymentRecord) -> dict[str, Any]:
    amount_msat = payment.amount_msat
    has_arrived = payment.state is PaymentState.SUCCEEDED
    fee_msat = payment.fee_msat if has_arrived else 0
    reason = "FAILURE_REASON_NONE" if payment.failure is None else f"FAILURE_REASON_{payment.failure}"
    return {
        "payment_hash": payment.payment_hash,
        "value": str(amount_msat // MSATS_PER_SAT),
        "creation_date": str(payment.created_at_ms // 1_000),
        "fee": str(fee_msat // MSATS_PER_SAT),
        # LND writes 32 zero bytes until there is one.
        "payment_preimage": payment.preimage or "0" * 64,
        "value_sat": str(amount_msat // MSATS_PER_SAT),
        "value_msat": str(amount_msat),
        "payment_request": payment.payment_request,
        "status": payment.state.upper(),
        "fee_sat": str(fee_msat // MSATS_PER_SAT),
        "fee_msat": str(fee_msat),
        "creation_time_ns": str(payment.created_at_ms * _NS_PER_MS),
        "htlcs": [_attempt(payment)] if payment.is_locked else [],
        "payment_index": str(payment.payment_index),
        "failure_reason": reason,
        "first_hop_custom_records": {},
    }


def send_response(payment: PaymentRecord) -> dict[str, Any]:
    """Return the answer of the synchronous call: a failure is a word in it, not an HTTP status."""
    has_arrived = payment.state is PaymentState.SUCCEEDED
    return {
        "payment_error": "" if payment.failure is None else payment.failure.lower(),
        "payment_preimage": b64(payment.preimage or ""),
        "payment_route": _route(payment) if has_arrived else None,
        "payment_hash": b64(payment.payment_hash),
    }


def _amount(msat: int) -> dict[str, str]:
    return {"sat": str(msat // MSATS_PER_SAT), "msat": str(msat)}


def _features(bits: frozenset[int]) -> dict[str, Any]:
    return {
        str(bit): {
            "name": _FEATURE_NAMES.get(bit, "unknown"),
            "is_required": bit % 2 == 0,
            "is_known": bit in _FEATURE_NAMES,
        }
        for bit in sorted(bits)
    }


def _invoice_htlc(invoice: InvoiceRecord) -> dict[str, Any]:
    return {
        "chan_id": _FULL_CHANNEL_ID,
        "htlc_index": str(invoice.add_index),
        "amt_msat": str(invoice.paid_msat),
        "accept_height": 0,
        "accept_time": str((invoice.settled_at_ms or invoice.created_at_ms) // 1_000),
        "resolve_time": str((invoice.settled_at_ms or 0) // 1_000),
        "expiry_height": 0,
        "state": invoice.state.upper(),
        "custom_records": {},
        "mpp_total_amt_msat": str(invoice.paid_msat),
        "amp": None,
        "custom_channel_data": "",
    }


def _attempt(payment: PaymentRecord) -> dict[str, Any]:
    return {
        "attempt_id": str(payment.payment_index),
        "status": payment.state.upper(),
        "route": _route(payment),
        "attempt_time_ns": str(payment.created_at_ms * _NS_PER_MS),
        "resolve_time_ns": str((payment.ended_at_ms or 0) * _NS_PER_MS),
        "failure": None,
        "preimage": b64(payment.preimage or ""),
    }


def _route(payment: PaymentRecord) -> dict[str, Any]:
    total_msat = payment.amount_msat + payment.fee_msat
    return {
        "total_time_lock": 0,
        "total_fees": str(payment.fee_msat // MSATS_PER_SAT),
        "total_amt": str(total_msat // MSATS_PER_SAT),
        "hops": [
            {
                "chan_id": _FULL_CHANNEL_ID,
                "chan_capacity": "0",
                "amt_to_forward": str(payment.amount_msat // MSATS_PER_SAT),
                "fee": str(payment.fee_msat // MSATS_PER_SAT),
                "expiry": 0,
                "amt_to_forward_msat": str(payment.amount_msat),
                "fee_msat": str(payment.fee_msat),
                "pub_key": payment.payee,
                "tlv_payload": True,
                "mpp_record": {
                    "payment_addr": b64(payment.payment_secret),
                    "total_amt_msat": str(payment.amount_msat),
                },
                "amp_record": None,
                "custom_records": {},
                "metadata": "",
                "blinding_point": "",
                "encrypted_data": "",
                "total_amt_msat": "0",
            }
        ],
        "total_fees_msat": str(payment.fee_msat),
        "total_amt_msat": str(total_msat),
        "first_hop_amount_msat": "0",
        "custom_channel_data": "",
    }
