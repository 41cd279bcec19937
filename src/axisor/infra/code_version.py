"""Which code decides: the release, and a digest of the sources that a decision depends on."""

import functools
import hashlib
from importlib import resources
from typing import Final

from axisor import __version__

KERNEL_PACKAGES: Final = ("axisor.domain", "axisor.features.margin_guard")
_DIGEST_CHARS: Final = 12


@functools.cache
def code_version() -> str:
    """Return the release and a digest of everything that decides: two equal versions decide alike.

    The digest is of the sources of the domain and of the margin guard, in the order of their names.
    """
    digest = hashlib.sha256()
    for package in KERNEL_PACKAGES:
        files = (entry for entry in resources.files(package).iterdir() if entry.name.endswith(".py"))
        for entry in sorted(files, key=lambda entry: entry.name):
            source = entry.read_bytes()
            digest.update(f"{package}/{entry.name}:{len(source)}\n".encode())
            digest.update(source)
    return f"{__version__}+{digest.hexdigest()[:_DIGEST_CHARS]}"
