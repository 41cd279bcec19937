"""The local spool: what was sent while PostgreSQL was away, one fsynced line each, merged by intent id later."""

import errno
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import structlog

from axisor.domain.commands import CommandClass
from axisor.domain.units import ExchangeAccountId, IntentId, TradeId
from axisor.features.execution.attempts import Attempt, AttemptState, Cause, CauseKind
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.repository import dump_command, load_command

log = structlog.get_logger(__name__)


class LineKind(StrEnum):
    SENT = "sent"
    STATE = "state"
    DECISION = "decision"


class SpoolLine(msgspec.Struct, frozen=True, kw_only=True):
    kind: LineKind
    attempt: dict[str, Any] | None = None
    answer: dict[str, Any] | None = None
    decision: dict[str, Any] | None = None


class Spool:
    """The spool of one process: a file in the data folder that survives its writer."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        self._refused_path = folder / f"{name}.refused.jsonl"

    @property
    def is_empty(self) -> bool:
        """Return whether nothing waits to be merged."""
        return not self._path.exists() or self._path.stat().st_size == 0

    def write(self, *lines: SpoolLine) -> None:
        """Append lines and return once they are on the disk.

        Raises:
            OSError: the disk is full or failing: nothing may be sent on the strength of these lines.
        """
        _append(self._path, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    def set_aside(self, line: SpoolLine) -> None:
        """Keep a line that the database refuses in a file of its own, for a person to look at."""
        _append(self._refused_path, msgspec.json.encode(line) + b"\n")

    def read(self) -> tuple[list[SpoolLine], int]:
        """Return every whole line and the offset behind the last; a torn last line was never acted upon."""
        if not self._path.exists():
            return [], 0
        raw = self._path.read_bytes()
        end = raw.rfind(b"\n") + 1
        return list(self._decode(raw[:end])), end

    def drop(self, offset: int) -> None:
        """Forget what was merged: everything before `offset`."""
        rest = self._path.read_bytes()[offset:]
        scratch = self._path.with_suffix(".rest")
        with scratch.open("wb") as file:
            file.write(rest)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._path)

    def _decode(self, raw: bytes) -> Iterator[SpoolLine]:
        for line in raw.splitlines():
            try:
                yield msgspec.json.decode(line, type=SpoolLine)
            except msgspec.DecodeError:
                log.exception("spool_line_unreadable", path=str(self._path), length=len(line))


def _append(path: Path, content: bytes) -> None:
    """Append whole lines, or nothing.

    Raises:
        OSError: the disk is full or failing.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content  # a torn line of a writer that died stays a line of its own
        if os.write(descriptor, content) != len(content):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, "the spool took a part of its line only", str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sent_line(attempt: Attempt, decision: DecisionRecord | None) -> SpoolLine:
    """Return the line of an attempt that is about to be sent."""
    return SpoolLine(
        kind=LineKind.SENT,
        attempt=_dump_attempt(attempt),
        decision=None if decision is None else _dump_decision(decision),
    )


def state_line(attempt: Attempt, answer: dict[str, Any] | None, outcome: DecisionRecord) -> SpoolLine:
    """Return the line of an attempt's new state, with its entry in the ledger."""
    return SpoolLine(
        kind=LineKind.STATE, attempt=_dump_attempt(attempt), answer=answer, decision=_dump_decision(outcome)
    )


def decision_line(decision: DecisionRecord) -> SpoolLine:
    """Return the line of a decision without an attempt."""
    return SpoolLine(kind=LineKind.DECISION, decision=_dump_decision(decision))


def load_attempt(body: dict[str, Any]) -> Attempt:
    """Return the attempt of a spool line."""
    cause = body["cause"]
    return Attempt(
        exchange_account_id=ExchangeAccountId(body["exchange_account_id"]),
        intent_id=IntentId(body["intent_id"]),
        attempt_no=body["attempt_no"],
        trade_id=TradeId(body["trade_id"]),
        cause=Cause(kind=CauseKind(cause["kind"]), cause_id=cause["cause_id"], key=cause["key"]),
        decision_id=body["decision_id"],
        command=load_command(body["command"]),
        command_class=CommandClass(body["command_class"]),
        state=AttemptState(body["state"]),
        amount_sats=body["amount_sats"],
        tag=body["tag"],
        is_second_send=body["is_second_send"],
        fence=body["fence"],
        signature_ms=body["signature_ms"],
        signed_at=_time(body["signed_at"]),
        quiet_until=_time(body["quiet_until"]),
        counter_before_sats=body["counter_before_sats"],
        tick_at=_optional_time(body["tick_at"]),
        sent_at=_optional_time(body["sent_at"]),
        answered_at=_optional_time(body["answered_at"]),
        settled_at=_optional_time(body["settled_at"]),
        reason=body["reason"],
    )


def load_decision(body: dict[str, Any]) -> DecisionRecord:
    """Return the decision of a spool line."""
    return DecisionRecord(
        **{**body, "at": _time(body["at"]), "trade_id": TradeId(body["trade_id"])},
    )


def _dump_attempt(attempt: Attempt) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(attempt)
    return {**body, "command": dump_command(attempt.command)}


def _dump_decision(decision: DecisionRecord) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(decision)
    return body


def _time(raw: str) -> datetime:
    return datetime.fromisoformat(raw).astimezone(UTC)


def _optional_time(raw: str | None) -> datetime | None:
    return None if raw is None else _time(raw)
