"""Faults that the exchange can be told to have, so that its clients can be tested against them.

A fault waits for a request that matches it, and is spent after `count` requests. What it did is written into the
request log.
"""

import re
from enum import StrEnum
from typing import Final
from uuid import uuid4

import msgspec

from axisor.domain.errors import ConfigurationError


class FaultKind(StrEnum):
    LOSE_REQUEST = "lose_request"  # no effect, no answer: the connection ends (after `hang_s` of silence)
    LOSE_ANSWER = "lose_answer_after_apply"  # the effect happens, the answer never comes
    DELAY_BEFORE_APPLY = "delay_before_apply_s"  # accepted at once, applied and answered after `seconds`
    DELAY_ANSWER = "delay_answer_s"  # applied at once, answered after `seconds`
    APPLY_LATE = "apply_late_s"  # the connection ends now, the effect happens after `seconds`
    STATUS = "status"  # `status` is answered, with or without the effect
    MALFORMED_JSON = "malformed_json"  # the effect happens, the answer is cut in the middle
    RESET_CONNECTION = "reset_connection"  # TCP reset, with or without the effect
    FREEZE_STREAM = "freeze_stream"  # stream sockets stay open and silent for `seconds`
    CLOSE_STREAM = "close_stream"  # stream sockets are closed with `status` as close code


STREAM_KINDS: Final = frozenset({FaultKind.FREEZE_STREAM, FaultKind.CLOSE_STREAM})


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault and what it waits for. Without `count` it meets one request, with 0 every one."""

    kind: FaultKind
    method: str | None = None
    path: str | None = None
    """A regular expression searched in the path."""
    account: str | None = None
    """An account id, user name or API key."""
    nth: int = 1
    """The first matching request that it meets, counted from 1."""
    count: int = 1
    seconds: float = 0.0
    hang_s: float = 0.0
    status: int = 503
    with_effect: bool = False
    retry_after_s: int | None = None
    is_html: bool = False
    """STATUS answers with a web page instead of the exchange's JSON."""
    fault_id: str = msgspec.field(default_factory=lambda: str(uuid4()))
    seen: int = 0
    met: int = 0

    @property
    def is_spent(self) -> bool:
        return self.count > 0 and self.met >= self.count


class FaultBook:
    """The faults in force, oldest first."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._faults: list[Fault] = []
        for fault in faults:
            self.add(fault)

    @property
    def faults(self) -> list[Fault]:
        return list(self._faults)

    def add(self, fault: Fault) -> None:
        """Put a fault in force.

        Raises:
            ConfigurationError: its path is no regular expression, or a number is negative.
        """
        try:
            re.compile(fault.path or "")
        except re.error as error:
            raise ConfigurationError(f"fault path {fault.path!r}: {error}") from error
        if min(fault.nth - 1, fault.count, fault.seconds, fault.hang_s) < 0:
            raise ConfigurationError(f"fault {fault.kind}: nth counts from 1, and nothing may be negative")
        self._faults.append(fault)

    def clear(self, fault_id: str | None = None) -> int:
        """Return how many faults were withdrawn: one, or all without an id."""
        kept = [fault for fault in self._faults if fault_id is not None and fault.fault_id != fault_id]
        withdrawn = len(self._faults) - len(kept)
        self._faults = kept
        return withdrawn

    def meet(self, *, method: str, path: str, account: frozenset[str]) -> Fault | None:
        """Return the fault that this request meets, and count it; stream faults never meet a request."""
        for fault in self._faults:
            if fault.kind in STREAM_KINDS or fault.is_spent or not _matches(fault, method, path, account):
                continue
            fault.seen += 1
            if fault.seen >= fault.nth:
                fault.met += 1
                return fault
        return None


def _matches(fault: Fault, method: str, path: str, account: frozenset[str]) -> bool:
    if fault.method is not None and fault.method.upper() != method:
        return False
    if fault.path is not None and re.search(fault.path, path) is None:
        return False
    return fault.account is None or fault.account in account


def parse_fault_spec(spec: str) -> tuple[Fault, ...]:
    """Return the faults of a command line: `KIND:NAME=VALUE,NAME=VALUE;KIND:...`.

    Raises:
        ConfigurationError: naming the part that is not understood.
    """
    return tuple(_parse_fault(part.strip()) for part in spec.split(";") if part.strip())


def _parse_fault(part: str) -> Fault:
    kind, _, options = part.partition(":")
    fields: dict[str, str] = {"kind": kind.strip()}
    for option in filter(None, options.split(",")):
        name, equals, value = option.partition("=")
        if not equals:
            raise ConfigurationError(f"--faults: {option!r} is not NAME=VALUE")
        fields[name.strip()] = value.strip()
    try:
        fault = msgspec.convert(fields, type=Fault, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"--faults: {part!r}: {error}") from error
    if fault.kind in STREAM_KINDS:
        raise ConfigurationError(f"--faults: {fault.kind} strikes open sockets: use the control interface")
    return fault
