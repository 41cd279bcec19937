"""The Bitcoin networks, and how each writes addresses and invoices."""

from enum import StrEnum


class BitcoinNetwork(StrEnum):
    MAINNET = "mainnet"
    SIGNET = "signet"
    REGTEST = "regtest"
    TESTNET = "testnet"

    @property
    def segwit_prefix(self) -> str:
        """The prefix of bech32 addresses; signet and testnet share one (BIP 173, BIP 325)."""
        return _SEGWIT_PREFIX[self]

    @property
    def invoice_prefix(self) -> str:
        """The prefix of BOLT 11 invoices. Signet has its own, so that invoices of two test networks differ."""
        return _INVOICE_PREFIX[self]

    @property
    def pubkey_hash_version(self) -> int:
        """The first byte of a base58check address that pays to the hash of a key."""
        return 0x00 if self is BitcoinNetwork.MAINNET else 0x6F

    @property
    def script_hash_version(self) -> int:
        """The first byte of a base58check address that pays to the hash of a script."""
        return 0x05 if self is BitcoinNetwork.MAINNET else 0xC4


_SEGWIT_PREFIX = {
    BitcoinNetwork.MAINNET: "bc",
    BitcoinNetwork.SIGNET: "tb",
    BitcoinNetwork.REGTEST: "bcrt",
    BitcoinNetwork.TESTNET: "tb",
}
_INVOICE_PREFIX = {
    BitcoinNetwork.MAINNET: "lnbc",
    BitcoinNetwork.SIGNET: "lntbs",
    BitcoinNetwork.REGTEST: "lnbcrt",
    BitcoinNetwork.TESTNET: "lntb",
}
