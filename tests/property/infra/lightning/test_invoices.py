"""Whatever an invoice says, it says after being written and read; and a single wrong character is always noticed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axisor.infra.lightning import base58, bech32
from axisor.infra.lightning.address import InvalidAddress, check_address, p2tr_address, p2wpkh_address
from axisor.infra.lightning.bech32 import Checksum
from axisor.infra.lightning.bolt11 import InvalidInvoice, Invoice, TaggedField, decode_invoice, encode_invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import InvalidSignature, SecretKey, Signature, recover, verify

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
groups = st.lists(st.integers(0, 31), max_size=40)
hashes = st.binary(min_size=32, max_size=32)
keys = st.integers(1, 2**255).map(SecretKey)
networks = st.sampled_from(BitcoinNetwork)
descriptions = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)
features = st.frozensets(st.sampled_from([8, 9, 14, 15, 16, 17, 25, 48, 49, 99, 257]))
others = st.lists(st.builds(TaggedField, st.sampled_from("rm2tzy"), groups.map(tuple)), max_size=3).filter(
    lambda fields: sum(each.tag == "m" for each in fields) <= 1
)


@st.composite
def invoices(draw: st.DrawFn) -> tuple[str, Invoice]:
    key = draw(keys)
    is_hashed = draw(st.booleans())
    invoice = Invoice(
        network=draw(networks),
        amount_msat=draw(st.none() | st.integers(1, 21 * 10**17)),
        timestamp=draw(st.integers(0, 2**35 - 1)),
        payment_hash=draw(hashes),
        payment_secret=draw(hashes),
        payee=key.public_key(),
        description=None if is_hashed else draw(descriptions),
        description_hash=draw(hashes) if is_hashed else None,
        expiry_s=draw(st.integers(0, 2**40)),
        min_final_cltv=draw(st.integers(0, 2**20)),
        features=draw(features),
        other_fields=tuple(draw(others)),
    )
    said = {name: getattr(invoice, name) for name in Invoice.__dataclass_fields__ if name != "payee"}
    return encode_invoice(key=key, **said), invoice


@given(invoices())
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read(written: tuple[str, Invoice]) -> None:
    text, invoice = written
    assert decode_invoice(text) == invoice
    assert decode_invoice(text.upper()) == invoice


@given(invoices(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_single_wrong_character_is_refused(written: tuple[str, Invoice], data: st.DataObject) -> None:
    text = written[0]
    at = data.draw(st.integers(0, len(text) - 1))
    wrong = data.draw(st.sampled_from([each for each in CHARSET + "1b" if each != text[at]]))
    with pytest.raises(InvalidInvoice):
        decode_invoice(text[:at] + wrong + text[at + 1 :])


@given(st.text(max_size=60) | st.text(CHARSET + "1", max_size=200).map("lntbs1".__add__))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(InvalidInvoice):
        decode_invoice(text)


@given(groups, st.sampled_from(Checksum))
def test_bech32_reads_what_it_writes(content: list[int], checksum: Checksum) -> None:
    parts = bech32.decode(bech32.encode("tb", content, checksum))
    assert (parts.prefix, list(parts.groups), parts.checksum) == ("tb", content, checksum)


@given(st.binary(max_size=60))
def test_bytes_survive_groups_of_five_bits_and_base58(content: bytes) -> None:
    assert bech32.bytes_of(bech32.groups_of(content)) == content
    assert base58.decode(base58.encode(content)) == content


@given(keys, hashes)
@settings(max_examples=25, deadline=None)
def test_a_signature_leads_back_to_its_key_and_to_no_other(key: SecretKey, digest: bytes) -> None:
    signature = key.sign(digest)
    assert signature.is_low_s
    assert recover(digest, signature) == key.public_key()
    assert Signature.from_bytes(bytes(signature)) == signature
    verify(digest, signature, key.public_key())
    with pytest.raises(InvalidSignature):
        verify(bytes(32 - 1) + b"\1", signature, key.public_key())


@given(keys, networks, st.booleans(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_made_address_is_good_on_its_network_and_a_wrong_character_is_noticed(
    key: SecretKey, network: BitcoinNetwork, is_taproot: bool, data: st.DataObject
) -> None:
    make = p2tr_address if is_taproot else p2wpkh_address
    address = make(key.public_key(), network=network)
    check_address(address, network=network)
    check_address(address.upper(), network=network)
    for other in BitcoinNetwork:
        if other.segwit_prefix != network.segwit_prefix:
            with pytest.raises(InvalidAddress):
                check_address(address, network=other)
    at = data.draw(st.integers(0, len(address) - 1))
    wrong = data.draw(st.sampled_from([each for each in CHARSET if each != address[at]]))
    with pytest.raises(InvalidAddress):
        check_address(address[:at] + wrong + address[at + 1 :], network=network)
