import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.infra.lightning.bolt11_vectors import (
    INVALID,
    PAYEE,
    PAYMENT_HASH,
    PAYMENT_SECRET,
    SECRET,
    SOLD,
    VALID,
    Invalid,
    Valid,
)

from axisor.infra.lightning import bech32
from axisor.infra.lightning.bech32 import Checksum
from axisor.infra.lightning.bolt11 import InvalidInvoice, TaggedField, decode_invoice, encode_invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import SecretKey

KEY = SecretKey(SECRET)
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def an_invoice(**changes: Any) -> str:
    says: dict[str, Any] = {
        "key": KEY,
        "network": BitcoinNetwork.SIGNET,
        "amount_msat": 250_000_000,
        "timestamp": 1_496_314_658,
        "payment_hash": PAYMENT_HASH,
        "payment_secret": PAYMENT_SECRET,
        "description": "1 cup coffee",
    }
    return encode_invoice(**{**says, **changes})


@pytest.mark.parametrize("vector", VALID, ids=lambda vector: vector.name)
def test_a_valid_example_says_what_the_specification_says(vector: Valid) -> None:
    invoice = decode_invoice(vector.text)
    expected = {"payee": PAYEE, "payment_hash": PAYMENT_HASH, "payment_secret": PAYMENT_SECRET, **vector.says}
    assert {name: getattr(invoice, name) for name in expected} == expected
    assert invoice.fallback_addresses == ((vector.fallback,) if vector.fallback else ())


@pytest.mark.parametrize("vector", INVALID, ids=lambda vector: vector.name)
def test_an_invalid_example_is_refused_for_its_reason(vector: Invalid) -> None:
    with pytest.raises(InvalidInvoice) as refusal:
        decode_invoice(vector.text)
    assert vector.reason in refusal.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_msat": None, "description": "Please consider supporting this project"},
        {"expiry_s": 60},
        {"expiry_s": 60, "description": "ナンセンス 1杯"},
        {"amount_msat": 2_000_000_000, "description": None, "description_hash": hashlib.sha256(SOLD.encode()).digest()},
    ],
    ids="+".join,
)
def test_what_is_written_is_what_the_specification_writes_but_for_the_order_of_fields(changes: dict[str, Any]) -> None:
    written = decode_invoice(an_invoice(network=BitcoinNetwork.MAINNET, **changes))
    examples = [decode_invoice(vector.text) for vector in VALID]
    assert written in examples


def test_routing_hints_metadata_and_unknown_fields_are_kept_as_they_are() -> None:
    hints = decode_invoice(VALID[5].text).other_fields
    assert [each.tag for each in hints] == ["f", "r"]
    others = (*hints, TaggedField("m", (0, 7)), TaggedField("2", (0, 0, 0)))
    assert decode_invoice(an_invoice(network=BitcoinNetwork.MAINNET, other_fields=others)).other_fields == others


@pytest.mark.parametrize(
    ("amount_msat", "written"),
    [
        (1, "10p"),
        (99, "990p"),
        (100, "1n"),
        (1_000, "10n"),
        (100_000, "1u"),
        (250_000_000, "2500u"),
        (2_000_000_000, "20m"),
        (100_000_000_000, "1"),
        (967_878_534, "9678785340p"),
    ],
)
def test_an_amount_is_written_with_the_largest_unit_that_holds_it(amount_msat: int, written: str) -> None:
    text = an_invoice(amount_msat=amount_msat)
    assert text.startswith(f"lntbs{written}1")
    assert decode_invoice(text).amount_msat == amount_msat


@pytest.mark.parametrize("network", BitcoinNetwork)
def test_each_network_is_told_from_the_others(network: BitcoinNetwork) -> None:
    for amount_msat in (None, 5_000):
        assert decode_invoice(an_invoice(network=network, amount_msat=amount_msat)).network is network


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_msat": 0}, "positive"),
        ({"amount_msat": -5}, "positive"),
        ({"description": "x" * 640}, "too long"),
        ({"description": None}, "either a description"),
        ({"description_hash": bytes(32)}, "either a description"),
        ({"payment_hash": bytes(31)}, "32 bytes"),
        ({"timestamp": 1 << 35}, "35 bits"),
        ({"expiry_s": -1}, "negative"),
        ({"other_fields": [TaggedField("p", (0,))]}, "argument of its own"),
    ],
)
def test_what_cannot_be_written_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInvoice, match=reason):
        an_invoice(**changes)


def test_an_invoice_ends_when_its_time_is_over() -> None:
    invoice = decode_invoice(an_invoice(expiry_s=60))
    assert invoice.expires_at == datetime.fromtimestamp(1_496_314_718, tz=UTC)
    assert not invoice.is_expired(datetime.fromtimestamp(1_496_314_717, tz=UTC))
    assert invoice.is_expired(invoice.expires_at)


def test_an_expiry_beyond_every_calendar_can_still_be_read() -> None:
    assert decode_invoice(an_invoice(expiry_s=2**64)).expires_at.year == 2027


def signed_by_hand(prefix: str, fields: list[int], *, high_s: bool = False) -> str:
    """Return an invoice of the example key with whatever fields."""
    groups = bech32.number_groups(1_496_314_658, length=7) + fields
    length = -(-len(groups) * 5 // 8)
    signed = (bech32.number_of(groups) << length * 8 - len(groups) * 5).to_bytes(length)
    signature = KEY.sign(hashlib.sha256(prefix.encode() + signed).digest())
    s = N - signature.s if high_s else signature.s
    raw = signature.r.to_bytes(32) + s.to_bytes(32) + bytes([signature.recovery_id ^ high_s])
    return bech32.encode(prefix, [*groups, *bech32.groups_of(raw)], Checksum.BECH32)


def a_field(tag: str, groups: list[int]) -> list[int]:
    return ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(tag), *bech32.number_groups(len(groups), length=2), *groups]


BASICS = [
    *a_field("p", bech32.groups_of(PAYMENT_HASH)),
    *a_field("s", bech32.groups_of(PAYMENT_SECRET)),
    *a_field("d", bech32.groups_of(b"tea")),
]
NAMED = a_field("n", bech32.groups_of(PAYEE))
FOREIGN = a_field("n", bech32.groups_of(SecretKey(7).public_key()))


def test_a_named_node_must_have_signed() -> None:
    assert decode_invoice(signed_by_hand("lnbc1m", BASICS + NAMED)).payee == PAYEE
    with pytest.raises(InvalidInvoice, match="named node"):
        decode_invoice(signed_by_hand("lnbc1m", BASICS + FOREIGN))


def test_a_named_node_must_have_signed_in_the_lower_form() -> None:
    assert decode_invoice(signed_by_hand("lnbc1m", BASICS, high_s=True)).payee == PAYEE
    with pytest.raises(InvalidInvoice, match="lower form"):
        decode_invoice(signed_by_hand("lnbc1m", BASICS + NAMED, high_s=True))


@pytest.mark.parametrize(
    ("prefix", "fields", "reason"),
    [
        ("lnbc0m", BASICS, "begins with a zero"),
        ("lnbc1é", BASICS, "ASCII"),
        ("lnxx1m", BASICS, "no known network"),
        ("lnbcx1m", BASICS, "no known network"),
        ("lnbc", BASICS[55 * 2 :], "the field p is missing"),
        ("lnbc", BASICS[: 55 * 2], "exactly one of a description"),
        ("lnbc", BASICS + a_field("h", [0] * 52), "exactly one of a description"),
        ("lnbc", BASICS + a_field("x", [0, 5]), "begins with zeros"),
        ("lnbc", BASICS + a_field("n", [0] * 53), "no public key"),
        ("lnbc", [*BASICS, 13, 1], "before its length"),
        ("lnbc", [*BASICS, 6, 0, 9, 1], "longer than what is there"),
        ("lnbc", BASICS[: 55 * 2] + a_field("d", bech32.groups_of(b"\xff")), "UTF-8"),
        ("lnbc", BASICS[: 55 * 2] + a_field("d", [1]), "padding"),
        ("lnbc", BASICS + a_field("f", [0, *bech32.groups_of(bytes(21))]), "fallback address"),
        ("lnbc", BASICS + a_field("f", [17, *bech32.groups_of(bytes(19))]), "fallback address"),
    ],
)
def test_a_signed_invoice_that_breaks_a_rule_is_refused(prefix: str, fields: list[int], reason: str) -> None:
    with pytest.raises(InvalidInvoice, match=reason):
        decode_invoice(signed_by_hand(prefix, fields))


def test_secrets_stay_out_of_what_is_shown() -> None:
    assert PAYMENT_SECRET.hex() not in repr(decode_invoice(an_invoice()))
    assert "11111" not in repr(decode_invoice(an_invoice()))
    assert str(SECRET) not in repr(KEY)
