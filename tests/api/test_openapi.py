"""The contract that is written down is the one that is served."""

import json
import subprocess
import sys
from pathlib import Path

from tests.factories.operations import PUBLIC

from axisor.api.app import describe_app, list_operations, openapi

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_document_is_current() -> None:
    document = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())
    assert document == json.loads(json.dumps(openapi(describe_app()))), "run tools/openapi.py"


def test_the_command_that_writes_it_says_so() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "openapi.py"), "--check"],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout.strip()) == (0, "current"), checked.stderr


def test_every_private_operation_names_its_security_and_every_failure_is_a_problem_document() -> None:
    document = openapi(describe_app())
    assert document["openapi"].startswith("3.1")
    by_cookie = {"refresh", "logout", "reauthenticate"}
    known = {(method, route.path): route.name for method, route in list_operations()}
    public = {known[each] for each in PUBLIC} - by_cookie | {"healthz", "readyz", "jwks"}
    for operations in document["paths"].values():
        for operation in operations.values():
            assert ("security" in operation) == (operation["operationId"] not in public), operation["operationId"]
            for status, response in operation["responses"].items():
                if status >= "400" and operation["operationId"] not in {"healthz", "readyz"}:
                    assert set(response["content"]) == {"application/problem+json"}


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    operations = [
        operation for operations in openapi(describe_app())["paths"].values() for operation in operations.values()
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for operation in operations)


def test_what_a_client_may_send_is_closed() -> None:
    schemas = openapi(describe_app())["components"]["schemas"]
    bodies = [name for name in schemas if name.endswith("Body")]
    assert bodies
    assert all(schemas[name]["additionalProperties"] is False for name in bodies)
