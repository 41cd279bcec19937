"""The command line as its users meet it: real processes, exit codes, one-line errors."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fixtures.engines import DatabaseUrls

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = [
    ["up"],
    ["api"],
    ["monitor"],
    ["worker"],
    ["scheduler"],
    ["exchange"],
    ["exchange", "account", "create"],
    ["exchange", "control"],
    ["migrate"],
    ["ledger", "verify"],
    ["ledger", "replay"],
    ["replay"],
    ["doctor"],
]


def axisor(*arguments: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AXISOR_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "axisor", *arguments],
        env={**clean, "PYTHONPATH": str(ROOT / "src"), "HOME": str(home), "COLUMNS": "100", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: list[str], tmp_path: Path) -> None:
    answer = axisor(*command, "--help", home=tmp_path)
    assert answer.returncode == 0
    assert "Example: " in answer.stdout
    assert f"axisor {' '.join(command)}" in " ".join(answer.stdout.split())


def test_the_version_is_one_line(tmp_path: Path) -> None:
    answer = axisor("--version", home=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout.startswith("axisor 0.")


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "words"),
    [
        (["ups"], {}, 2, "No such command"),
        (["up", "--port", "http"], {}, 2, "--port"),
        (["migrate"], {}, 2, "axisor: AXISOR_DATABASE_OWNER_URL is not set"),
        (["migrate"], {"AXISOR_DATABSE_URL": "x"}, 2, "did you mean AXISOR_DATABASE_URL"),
        (["up"], {"AXISOR_QUIET_PERIOD_S": "1"}, 2, "axisor: AXISOR_QUIET_PERIOD_S is 1: it must be at least 40"),
        (["ledger", "verify"], {"AXISOR_DATA_DIR": "/nowhere"}, 2, "there is no database in /nowhere/demo: run"),
        (["ledger", "replay", "--since", "soon"], {}, 2, "--since is a day or an instant"),
        (["exchange", "--faults", "nonsense"], {}, 2, "--faults"),
        (["exchange", "--tape-start", "yesterday"], {}, 2, "--tape-start yesterday is not a date"),
        (["exchange", "account", "create", "--port", "1", "--balance", "5"], {}, 2, "no paper exchange"),
        (["exchange", "--scenario", "nope"], {}, 2, "axisor: there is no market called 'nope': choose one of"),
        (["exchange", "--tape", "/nowhere.csv"], {}, 2, "axisor: /nowhere.csv cannot be read"),
        (["exchange", "control", "--port", "1", "GET", "market"], {}, 2, "begins with a slash"),
        (["exchange", "control", "--port", "1", "POST", "/faults", "{"], {}, 2, "is not JSON"),
        (["exchange", "control", "--port", "1", "POST", "/faults", "[]"], {}, 2, "is a JSON object such as"),
    ],
)
def test_a_mistake_is_one_clear_line_and_an_exit_code(
    arguments: list[str], environ: dict[str, str], code: int, words: str, tmp_path: Path
) -> None:
    answer = axisor(*arguments, home=tmp_path, **environ)
    assert answer.returncode == code
    assert words in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


def test_an_exchange_whose_port_is_taken_names_the_program(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = axisor("exchange", "--port", str(port), home=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert f"port {port} is taken by" in answer.stderr


def test_an_explicit_port_that_is_taken_ends_the_start_and_names_the_program(open_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = axisor("up", "--port", str(port), "--data-dir", str(open_folder), home=open_folder)
    assert answer.returncode == 1
    assert f"port {port} is taken by" in answer.stderr
    assert str(os.getpid()) in answer.stderr


def test_data_are_refused_a_place_inside_the_checkout(tmp_path: Path) -> None:
    answer = axisor("up", "--data-dir", str(ROOT / "data"), home=tmp_path)
    assert answer.returncode == 2
    assert "inside the checkout" in answer.stderr
    assert not (ROOT / "data").exists()


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(tmp_path: Path) -> None:
    answer = axisor(
        "doctor",
        "--json",
        home=tmp_path,
        AXISOR_DATABASE_URL="postgresql://nobody:hunter2@127.0.0.1:1/none",
        AXISOR_PAPER_REST_URL="http://127.0.0.1:1/v3",
    )
    findings = {finding["name"]: finding for finding in json.loads(answer.stdout)}
    assert answer.returncode == 1
    assert findings["python"]["state"] == "ok"
    assert findings["database"]["state"] == "fail"
    assert "AXISOR_DATABASE_URL" in findings["database"]["cure"]
    assert findings["exchange"]["state"] == "warn"
    assert "hunter2" not in answer.stdout + answer.stderr


def test_the_doctor_is_content_with_a_machine_that_has_everything(
    tmp_path: Path, database_urls: DatabaseUrls, valkey_url: str
) -> None:
    answer = axisor(
        "doctor",
        home=tmp_path,
        AXISOR_DATABASE_URL=database_urls.app,
        AXISOR_DATABASE_GUARD_URL=database_urls.guard,
        AXISOR_DATABASE_WORKER_URL=database_urls.worker,
        AXISOR_VALKEY_URL=valkey_url,
        AXISOR_PAPER_REST_URL="http://127.0.0.1:1/v3",
    )
    assert answer.returncode == 0, answer.stdout
    assert "✗" not in answer.stdout


def test_the_doctor_reports_a_role_that_row_level_security_does_not_bind(
    tmp_path: Path, database_urls: DatabaseUrls
) -> None:
    answer = axisor("doctor", "--json", home=tmp_path, AXISOR_DATABASE_URL=database_urls.superuser)
    findings = {finding["name"]: finding for finding in json.loads(answer.stdout)}
    assert findings["database roles"]["state"] == "fail"
    assert "axisor_app" in findings["database roles"]["cure"]
