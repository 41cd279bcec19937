"""One initialized data folder, copied for each test that starts servers of its own: initdb takes half a second."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from axisor.infra.engines import Engines


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """A data folder whose engines ran once and stopped cleanly."""
    parent = Path(tempfile.mkdtemp(prefix="axisor-test-"))
    parent.chmod(0o755)
    with Engines(parent / "data"):
        pass
    yield parent / "data"
    shutil.rmtree(parent)
