"""The examples of BIP 173 and BIP 350, and addresses in use."""

import pytest

from axisor.infra.lightning import bech32
from axisor.infra.lightning.address import InvalidAddress, check_address, segwit_address
from axisor.infra.lightning.bech32 import Checksum, InvalidBech32
from axisor.infra.lightning.networks import BitcoinNetwork

MAINNET, SIGNET, REGTEST = BitcoinNetwork.MAINNET, BitcoinNetwork.SIGNET, BitcoinNetwork.REGTEST


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", MAINNET),
        ("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", SIGNET),
        ("bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y", MAINNET),
        ("BC1SW50QGDZ25J", MAINNET),
        ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", MAINNET),
        ("tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy", SIGNET),
        ("tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c", SIGNET),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", MAINNET),
        ("1RustyRX2oai4EYYDpQGWvEL62BBGqN9T", MAINNET),
        ("3EktnHQD7RiAE6uzMj2ZifT9YgRrkSgzQX", MAINNET),
        ("mk2QpYatsKicvFVuTAQLBryyccRXMUaGHP", SIGNET),
        ("mk2QpYatsKicvFVuTAQLBryyccRXMUaGHP", REGTEST),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", REGTEST),
    ],
)
def test_an_address_is_good_on_its_network(address: str, network: BitcoinNetwork) -> None:
    check_address(address, network=network)


@pytest.mark.parametrize(
    ("address", "network", "reason"),
    [
        ("", SIGNET, "empty"),
        ("tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", MAINNET, "neither segwit nor base58"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", MAINNET, "checksum of another"),
        ("tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf", SIGNET, "checksum of another"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh", MAINNET, "checksum of another"),
        ("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", MAINNET, "not one of bech32"),
        ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", MAINNET, "version 17"),
        ("bc1pw5dgrnzv", MAINNET, "2 to 40 bytes"),
        (
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
            MAINNET,
            "2 to 40 bytes",
        ),
        ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", MAINNET, "20 or 32 bytes"),
        ("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq", SIGNET, "mixed"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", MAINNET, "more padding"),
        ("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", SIGNET, "padding is not zero"),
        ("bc1gmk9yu", MAINNET, "no witness version"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", SIGNET, "not one of signet"),
        ("1RustyRX2oai4EYYDpQGWvEL62BBGqN9T", SIGNET, "not one of signet"),
        ("1RustyRX2oai4EYYDpQGWvEL62BBGqN9U", MAINNET, "checksum is wrong"),
        ("5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ", MAINNET, "no known kind"),
        ("tb1" + "q" * 90, SIGNET, "longer than 90"),
        ("1" * 200, MAINNET, "longer than 120"),
    ],
)
def test_an_address_that_cannot_be_paid_is_refused_with_the_reason(
    address: str, network: BitcoinNetwork, reason: str
) -> None:
    with pytest.raises(InvalidAddress, match=reason):
        check_address(address, network=network)


def test_a_taproot_key_off_the_curve_is_refused() -> None:
    with pytest.raises(InvalidAddress, match="no point"):
        segwit_address(1, bytes(31) + b"\5", network=MAINNET)


@pytest.mark.parametrize(
    "text",
    ["A12UEL5L", "a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "?1ezyfcl"],
)  # fmt: skip
def test_bech32_reads_the_examples_of_its_specification(text: str) -> None:
    assert bech32.decode(text).checksum is Checksum.BECH32


@pytest.mark.parametrize("text", ["A1LQFN3A", "a1lqfn3a", "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx", "?1v759aa"])
def test_bech32m_reads_the_examples_of_its_specification(text: str) -> None:
    assert bech32.decode(text).checksum is Checksum.BECH32M


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\x201nwldj5", "printable"),
        ("\x801eym55h", "printable"),
        ("pzry9x0s0muk", "no separator"),
        ("1pzry9x0s0muk", "no separator"),
        ("x1b4n0q5v", "not one of bech32"),
        ("li1dgmt3", "too short"),
        ("A1G7SGD8", "checksum"),
        ("10a06t8", "no separator"),
    ],
)
def test_bech32_refuses_the_bad_examples(text: str, reason: str) -> None:
    with pytest.raises(InvalidBech32, match=reason):
        bech32.decode(text)
