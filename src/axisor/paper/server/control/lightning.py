"""The Lightning nodes: their state, held payments, faults, and the user's node without LND."""

from typing import Any

import msgspec

from axisor.infra.lightning.bolt11 import MSATS_PER_SAT
from axisor.paper.lightning.faults import LightningFault
from axisor.paper.lightning.node import Node
from axisor.paper.lightning.ports import FailureReason
from axisor.paper.lightning.records import InvoiceRecord, PaymentRecord
from axisor.paper.server.control.routes import ControlCall, ControlTable, NotThere


class _NewInvoice(msgspec.Struct, forbid_unknown_fields=True):
    amount_sats: int | None = None
    memo: str = ""
    expiry_s: int = 3_600


class _Pay(msgspec.Struct, forbid_unknown_fields=True):
    payment_request: str
    amount_sats: int | None = None
    max_fee_sats: int = 1_000_000


class _Fund(msgspec.Struct, forbid_unknown_fields=True):
    amount_sats: int


class _Release(msgspec.Struct, forbid_unknown_fields=True):
    fails_with: FailureReason | None = None


async def _get(call: ControlCall) -> Any:
    network = call.exchange.lightning.service.network
    return {
        "network": network.user.network,
        "nodes": {"exchange": _node_view(network.exchange), "user": _node_view(network.user)},
        "in_flight_msat": network.in_flight_msat,
        "discrepancy_msat": network.discrepancy_msat,
        "held": [_payment_view(each) for each in network.held],
    }


def _node(call: ControlCall) -> Node:
    network = call.exchange.lightning.service.network
    name = call.request.match_info["node"]
    if name not in {"user", "exchange"}:
        raise NotThere(f"there is no node {name}: user and exchange are")
    return network.user if name == "user" else network.exchange


async def _create_invoice(call: ControlCall) -> Any:
    node, wanted = _node(call), await call.read(_NewInvoice)
    invoice = node.create_invoice(
        amount_msat=None if wanted.amount_sats is None else wanted.amount_sats * MSATS_PER_SAT,
        memo=wanted.memo,
        expiry_s=wanted.expiry_s,
    )
    await call.exchange.lightning.service.round()
    return _invoice_view(invoice)


async def _pay(call: ControlCall) -> Any:
    """Pay as a node does; answered once the payment has ended, or waits for something."""
    node, wanted = _node(call), await call.read(_Pay)
    payment = node.order(
        wanted.payment_request,
        max_fee_msat=wanted.max_fee_sats * MSATS_PER_SAT,
        amount_msat=None if wanted.amount_sats is None else wanted.amount_sats * MSATS_PER_SAT,
    )
    await call.exchange.lightning.service.round()
    return _payment_view(payment)


async def _get_payment(call: ControlCall) -> Any:
    payment_hash = call.request.match_info["payment_hash"]
    for node in call.exchange.lightning.service.network.nodes:
        if (payment := node.payments.get(payment_hash)) is not None:
            return _payment_view(payment)
    raise NotThere("there is no such payment")


async def _release(call: ControlCall) -> Any:
    wanted = await call.read(_Release)
    service = call.exchange.lightning.service
    if not service.network.release(call.request.match_info["payment_hash"], reason=wanted.fails_with):
        raise NotThere("no payment with this hash is held")
    await service.round()
    return await _get_payment(call)


async def _fund(call: ControlCall) -> Any:
    node, wanted = _node(call), await call.read(_Fund)
    node.fund(wanted.amount_sats)
    await call.exchange.lightning.service.round()
    return _node_view(node)


async def _list_faults(call: ControlCall) -> Any:
    book = call.exchange.lightning.service.network.faults
    return {"faults": book.faults, "deeds": book.deeds_after(call.after_seq()), "count": book.count}


async def _add_fault(call: ControlCall) -> Any:
    fault = await call.read(LightningFault)
    call.exchange.lightning.service.network.faults.add(fault)
    return fault


async def _clear_faults(call: ControlCall) -> Any:
    faults = call.exchange.lightning.service.network.faults
    return {"withdrawn": faults.clear(call.request.match_info.get("fault"))}


LIGHTNING: ControlTable = {
    ("GET", "/lightning"): _get,
    ("POST", "/lightning/{node}/invoices"): _create_invoice,
    ("POST", "/lightning/{node}/payments"): _pay,
    ("GET", "/lightning/payments/{payment_hash}"): _get_payment,
    ("POST", "/lightning/payments/{payment_hash}/release"): _release,
    ("POST", "/lightning/{node}/funds"): _fund,
    ("GET", "/lightning/faults"): _list_faults,
    ("POST", "/lightning/faults"): _add_fault,
    ("DELETE", "/lightning/faults"): _clear_faults,
    ("DELETE", "/lightning/faults/{fault}"): _clear_faults,
}


def _node_view(node: Node) -> dict[str, Any]:
    return {
        "alias": node.alias,
        "public_key": node.public_key,
        "balance_sats": node.counters.balance_msat // MSATS_PER_SAT,
        "inbound_sats": node.counters.inbound_msat // MSATS_PER_SAT,
        "fees_paid_sats": node.counters.fees_paid_msat // MSATS_PER_SAT,
        "invoices": len(node.invoices),
        "payments": len(node.payments),
    }


def _invoice_view(invoice: InvoiceRecord) -> dict[str, Any]:
    return {
        "payment_hash": invoice.payment_hash,
        "payment_request": invoice.payment_request,
        "amount_msat": invoice.amount_msat,
        "state": invoice.state,
    }


def _payment_view(payment: PaymentRecord) -> dict[str, Any]:
    return {
        "payment_hash": payment.payment_hash,
        "state": payment.state,
        "amount_msat": payment.amount_msat,
        "fee_msat": payment.fee_msat,
        "failure": payment.failure,
        "preimage": payment.preimage,
        "is_held": payment.is_held,
    }
