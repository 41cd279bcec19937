"""No secret reaches a log."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from axisor.infra import logs


@pytest.fixture
def log_dir(tmp_path: Path) -> Iterator[Path]:
    before = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    yield tmp_path
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def lines(log_dir: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (log_dir / "api.log").read_text(encoding="utf-8").splitlines()]


def test_an_event_is_one_json_line_with_its_fields_and_role(log_dir: Path) -> None:
    logs.configure(role="api", level="info", form="json", log_dir=log_dir, to_stderr=False)
    structlog.get_logger("axisor.somewhere").info("margin_added", amount_sats=5, trade_id="t")
    logging.getLogger("other.library").warning("connection %s", "lost")
    structlog.get_logger("axisor.somewhere").debug("too_much")
    first, second = lines(log_dir)
    assert first["event"] == "margin_added"
    assert (first["amount_sats"], first["role"], first["level"]) == (5, "api", "info")
    assert second["event"] == "connection lost"


@pytest.mark.parametrize(
    "key",
    [
        "secret",
        "passphrase",
        "password",
        "access_token",
        "Authorization",
        "lnm-access-signature",
        "api_key",
        "master_key",
    ],
)
def test_the_value_of_a_secret_looking_key_is_hidden_at_every_depth(log_dir: Path, key: str) -> None:
    logs.configure(role="api", level="info", form="json", log_dir=log_dir, to_stderr=False)
    log = structlog.get_logger("axisor.somewhere")
    log.info("sent", **{key: "hunter2"}, headers={key: "hunter2"}, items=[{"inner": {key: "hunter2"}}])
    assert "hunter2" not in (log_dir / "api.log").read_text(encoding="utf-8")
    assert lines(log_dir)[0]["headers"] == {key: "[redacted]"}


def test_a_password_inside_an_address_and_a_session_token_inside_a_text_are_hidden(log_dir: Path) -> None:
    logs.configure(role="api", level="info", form="json", log_dir=log_dir, to_stderr=False)
    token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    error = ConnectionError(f"postgresql://axisor:hunter2@127.0.0.1/axisor refused {token}")
    structlog.get_logger("axisor.somewhere").error("database_away", exc_info=error)
    text = (log_dir / "api.log").read_text(encoding="utf-8")
    assert "hunter2" not in text
    assert token not in text
    assert "127.0.0.1/axisor refused" in text


def test_counts_that_only_sound_secret_stay_readable(log_dir: Path) -> None:
    logs.configure(role="api", level="info", form="json", log_dir=log_dir, to_stderr=False)
    structlog.get_logger("axisor.somewhere").info("limited", tokens_left=3, password=None)
    assert lines(log_dir)[0]["tokens_left"] == 3
    assert lines(log_dir)[0]["password"] is None
