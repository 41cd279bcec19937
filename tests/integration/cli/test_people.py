"""`axisor people` on a real instance that is stopped."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "vorple under the xkqz tree"
type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(open_folder: Path) -> Run:
    """Runs `axisor people` on an instance of this test."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AXISOR_")}

    def run_people(
        *arguments: str, stdin: str = "", registration: str = "invitation", has_mail: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "axisor", "people", *arguments, "--data-dir", str(open_folder)],
            env={
                **clean,
                "PYTHONPATH": str(ROOT / "src"),
                "AXISOR_REGISTRATION": registration,
                **({"AXISOR_SMTP_HOST": "mail.example", "AXISOR_SMTP_FROM": "a@mail.example"} if has_mail else {}),
            },
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_people


def test_a_person_is_made_once_and_with_a_password_that_will_do(run: Run) -> None:
    arguments = ("add", "ada@example.com", "--name", "Ada", "--role", "viewer")
    common = run(*arguments, stdin="password1234\n")
    made = run(*arguments, stdin=f"{PASSWORD}\n")
    again = run(*arguments, stdin=f"{PASSWORD}\n")
    assert (common.returncode, made.returncode, again.returncode) == (1, 0, 1), made.stderr
    assert "ada@example.com can sign in as viewer" in made.stdout
    assert PASSWORD not in made.stdout + made.stderr + again.stdout + again.stderr


def test_an_invitation_is_a_link_and_where_it_could_not_be_used_none_is_made(run: Run) -> None:
    made = run("invite", "--role", "administrator")
    assert made.returncode == 0, made.stderr
    assert "/register#invitation=" in made.stdout
    closed = run("invite", registration="closed")
    assert (closed.returncode, "AXISOR_REGISTRATION" in closed.stderr) == (2, True)
    mute = run("invite", has_mail=False)
    assert (mute.returncode, "axisor people add" in mute.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [("add", "nobody", "--name", "N"), ("invite", "--role", "emperor")])
def test_what_is_no_address_or_no_role_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    refused = run(*arguments)
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1), refused.stderr
