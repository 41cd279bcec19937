"""What a client of LND is given: a certificate to trust and a macaroon to show; and the seed of the nodes' keys."""

import hashlib
import hmac
import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from axisor.domain.errors import ConfigurationError

CERTIFICATE: Final = "tls.cert"
CERTIFICATE_KEY: Final = "tls.key"
MACAROON: Final = "admin.macaroon"
_SEED_BYTES: Final = 32
_VALID_FOR: Final = timedelta(days=14 * 30)
"""Fourteen months, as LND's own."""
_RENEWED_BEFORE_END: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class LndFiles:
    """The folder in which a client finds what it needs."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / CERTIFICATE

    @property
    def certificate_key(self) -> Path:
        return self.folder / CERTIFICATE_KEY

    @property
    def macaroon(self) -> Path:
        return self.folder / MACAROON


@dataclass(frozen=True, slots=True)
class Macaroon:
    """The bearer credential of LND's `admin.macaroon`: everything is permitted to whoever shows it."""

    content: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> "Macaroon":
        """Return the macaroon of a seed, in the binary form that LND writes (version 2, no caveats)."""
        root_key = hmac.digest(seed, b"macaroon root key", hashlib.sha256)
        identifier = hmac.digest(seed, b"macaroon nonce", hashlib.sha256)[:16] + b"admin"
        derived = hmac.digest(b"macaroons-key-generator".ljust(32, b"\0"), root_key, hashlib.sha256)
        signature = hmac.digest(derived, identifier, hashlib.sha256)
        return cls(
            bytes([2])
            + _packet(1, b"lnd")
            + _packet(2, identifier)
            + b"\0"  # end of the header
            + b"\0"  # end of the caveats, of which there are none
            + _packet(6, signature)
        )

    def opens(self, offered_hex: str) -> bool:
        """Return whether a header's hex digits are this macaroon."""
        return hmac.compare_digest(offered_hex.lower().encode(), self.content.hex().encode())


def seed_of(folder: Path | None, *, fresh: bytes) -> bytes:
    """Return the seed kept in a data folder, made from `fresh` where there is none; without a folder, `fresh`.

    Raises:
        ConfigurationError: the file cannot be made or read.
    """
    if folder is None:
        return fresh
    path = folder / "lightning.seed"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_private(path, fresh)
        seed = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--data-dir {folder}: {error.strerror}") from error
    if len(seed) != _SEED_BYTES:
        raise ConfigurationError(f"{path} is damaged: it has {len(seed)} bytes, not {_SEED_BYTES}")
    return seed


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole that its owner alone can read."""
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def leave_credentials(folder: Path, macaroon: Macaroon, *, now: datetime) -> LndFiles:
    """Return the files for LND's clients; a certificate that is still good is kept.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    files = LndFiles(folder=folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(files.macaroon, macaroon.content)
        if not _is_good(files, now):
            certificate, key = _make_certificate(now)
            write_private(files.certificate_key, key)
            write_private(files.certificate, certificate)
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror}") from error
    return files


def server_context(files: LndFiles) -> ssl.SSLContext:
    """Return the server's side of TLS with the certificate of these files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.certificate_key)
    return context


def _packet(kind: int, content: bytes) -> bytes:
    assert len(content) < 128  # one byte of length
    return bytes([kind, len(content)]) + content


def _is_good(files: LndFiles, now: datetime) -> bool:
    if not files.certificate.exists() or not files.certificate_key.exists():
        return False
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - _RENEWED_BEFORE_END


def _make_certificate(now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "paper lnd"),
            x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("localhost"),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                    x509.IPAddress(ipaddress.ip_address("::1")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_encipherment=False,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), secret
