"""./axisor, the start script, in checkouts whose parts are stand-ins: which program it runs, and how."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SAYS_ITS_WORDS = '#!/bin/sh\nprintf "%s|" "$PYTHONPATH" "${PYTHONDONTWRITEBYTECODE-unset}" "$@"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a folder with a space whose packages are installed, with a Python that says how it was called."""
    folder = tmp_path / "a folder" / "axisor"
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy2(ROOT / "axisor", folder / "axisor")
    shutil.copy2(ROOT / "requirements.lock", folder / "requirements.lock")
    shutil.copy2(ROOT / "requirements-dev.lock", folder / "requirements-dev.lock")
    python = folder / ".venv" / "bin" / "python"
    python.write_text(SAYS_ITS_WORDS, encoding="ascii")
    python.chmod(0o755)
    with (folder / "requirements.lock").open("rb") as lock:
        stamp = subprocess.run(["cksum"], stdin=lock, capture_output=True, check=True).stdout
    (folder / ".venv" / ".axisor-lock").write_bytes(stamp)
    return folder


def run(script: Path, *arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "/elsewhere", "PYTHONDONTWRITEBYTECODE": "1", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_runs_the_installed_program_from_any_folder_and_passes_every_word(checkout: Path) -> None:
    answer = run(checkout / "axisor", "doctor", "--json", "two words", cwd=Path("/"))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{checkout}/src|unset|-P|-m|axisor|doctor|--json|two words|"


@pytest.mark.parametrize("is_relative", [False, True])
def test_it_runs_through_a_symbolic_link(checkout: Path, tmp_path: Path, is_relative: bool) -> None:
    link = tmp_path / "bin" / "axisor"
    link.parent.mkdir()
    link.symlink_to(Path("..") / "a folder" / "axisor" / "axisor" if is_relative else checkout / "axisor")
    answer = run(link, "--version", cwd=tmp_path)
    assert answer.stdout == f"{checkout}/src|unset|-P|-m|axisor|--version|"


def test_a_start_after_the_first_adds_less_than_a_third_of_a_second(checkout: Path) -> None:
    times = []
    for _ in range(3):
        before = os.times()
        run(checkout / "axisor", "--version", cwd=checkout)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.3


def test_an_interpreter_that_is_none_is_refused_by_name(checkout: Path) -> None:
    (checkout / ".venv" / ".axisor-lock").unlink()
    answer = run(checkout / "axisor", "doctor", cwd=checkout, AXISOR_PYTHON="/bin/false")
    assert answer.returncode == 2
    assert answer.stderr.strip() == "axisor: AXISOR_PYTHON=/bin/false is not a Python 3.12, 3.13 or 3.14"


def test_tests_run_through_the_test_runner(checkout: Path) -> None:
    with (checkout / "requirements-dev.lock").open("rb") as lock:
        stamp = subprocess.run(["cksum"], stdin=lock, capture_output=True, check=True).stdout
    (checkout / ".venv" / ".axisor-lock").write_bytes(stamp)
    answer = run(checkout / "axisor", "test", "-k", "some", cwd=Path("/"))
    assert answer.stdout == f"{checkout}/src|unset|-P|tools/check.py|test|-k|some|"
