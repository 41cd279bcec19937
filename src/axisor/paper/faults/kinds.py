"""The kinds of faults: on which occasion each one strikes, and which options it takes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    LOSE_REQUEST = "lose_request"  # no effect, no answer: the connection ends (after `hang_s` of silence)
    LOSE_ANSWER = "lose_answer_after_apply"  # the effect happens, the answer never comes
    DELAY_BEFORE_APPLY = "delay_before_apply_s"  # accepted at once, applied and answered after `seconds`
    DELAY_ANSWER = "delay_answer_s"  # applied at once, answered after `seconds`
    APPLY_LATE = "apply_late_s"  # the connection ends now, the effect happens after `seconds`
    STATUS = "status"  # `status` is answered, with or without the effect
    TOO_MANY_REQUESTS = "too_many_requests"  # 429 with Retry-After, no effect
    REFUSE_ACCOUNT = "refuse_account"  # an account's commands are refused with `status`, `code`, `message`
    READ_ONLY_ACCOUNT = "read_only_account"  # an account's commands are refused as not permitted
    MALFORMED_JSON = "malformed_json"  # the effect happens, the answer is cut in the middle
    TRUNCATED_BODY = "truncated_body"  # the effect happens, the connection ends in the middle of the answer
    SLOW_DRIP = "slow_drip"  # the effect happens, the answer's bytes come one by one over `seconds`
    RESET_CONNECTION = "reset_connection"  # TCP reset, with or without the effect
    RESET_AT_ACCEPT = "reset_at_accept"  # a new connection is reset before any byte of an answer
    REFUSE_UPGRADE = "refuse_upgrade"  # a WebSocket handshake is answered with `status`
    DROP_FRAMES = "drop_frames"  # a pushed frame is never sent
    DUPLICATE_FRAMES = "duplicate_frames"  # a pushed frame is sent twice
    REORDER_FRAMES = "reorder_frames"  # a pushed frame is sent after the next one, or after `seconds`
    FREEZE_STREAM = "freeze_stream"  # stream sockets stay open and silent for `seconds`
    CLOSE_STREAM = "close_stream"  # stream sockets are closed with `status` as close code
    DISCONNECT_STORM = "disconnect_storm"  # the same every `period_s` for `seconds`
    STALE_TICKER = "stale_ticker"  # ticker and price topics repeat the present price for `seconds`
    WRONG_CLOCK = "wrong_clock"  # the exchange's clock is off by `shift_s` for `seconds`
    MAINTENANCE = "maintenance"  # the trading engine is away for `seconds`
    REFUSE_CONNECTIONS = "refuse_connections"  # nothing listens at the port for `seconds`


class Occasion(StrEnum):
    """What a fault waits for."""

    REQUEST = "request"  # a REST request that was admitted
    CONNECTION = "connection"  # a new TCP connection
    UPGRADE = "upgrade"  # a WebSocket handshake
    FRAME = "frame"  # a pushed frame on its way to one socket
    MOMENT = "moment"  # a point in time, or the arrival of a request that it names


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is particular to a kind."""

    occasion: Occasion = Occasion.REQUEST
    options: frozenset[str] = frozenset()
    status: int = 503
    is_lasting: bool = False
    """True: without a `count` it meets every occasion until withdrawn, not one."""
    strikes_sockets: bool = False
    """True: `account` names whose sockets are struck."""
    needs_seconds: bool = False


COMMON_OPTIONS: Final = frozenset({"fault_id", "probability", "seed", "nth", "every", "count", "after_s", "for_s"})
_REQUEST: Final = frozenset({"method", "path", "account"})
_DELAY: Final = frozenset({"seconds", "max_seconds"})
_HANG: Final = frozenset({"hang_s"})
_ANSWER: Final = frozenset({"status", "code", "message"})
_FRAME: Final = frozenset({"topic", "account"})
_MOMENT: Final = frozenset({"period_s", *_REQUEST})


def _request(*options: frozenset[str], status: int = 503, is_lasting: bool = False) -> Traits:
    return Traits(options=_REQUEST.union(*options), status=status, is_lasting=is_lasting)


def _state(*options: str, needs_seconds: bool = False) -> Traits:
    """Return the traits of something that is the matter with the whole exchange for a while."""
    return Traits(occasion=Occasion.MOMENT, options=_MOMENT | _DELAY | frozenset(options), needs_seconds=needs_seconds)


def _sockets(*options: str, status: int = 1_001, needs_seconds: bool = False) -> Traits:
    return Traits(
        occasion=Occasion.MOMENT,
        options=_MOMENT | frozenset(options),
        status=status,
        strikes_sockets=True,
        needs_seconds=needs_seconds,
    )


TRAITS: Final[dict[FaultKind, Traits]] = {
    FaultKind.LOSE_REQUEST: _request(_HANG),
    FaultKind.LOSE_ANSWER: _request(_HANG),
    FaultKind.DELAY_BEFORE_APPLY: _request(_DELAY),
    FaultKind.DELAY_ANSWER: _request(_DELAY),
    FaultKind.APPLY_LATE: _request(_DELAY, _HANG),
    FaultKind.STATUS: _request(_ANSWER, frozenset({"with_effect", "retry_after_s", "is_html"})),
    FaultKind.TOO_MANY_REQUESTS: _request(frozenset({"retry_after_s"}), status=429),
    FaultKind.REFUSE_ACCOUNT: _request(_ANSWER, frozenset({"reads_too"}), status=403, is_lasting=True),
    FaultKind.READ_ONLY_ACCOUNT: _request(status=403, is_lasting=True),
    FaultKind.MALFORMED_JSON: _request(),
    FaultKind.TRUNCATED_BODY: _request(),
    FaultKind.SLOW_DRIP: _request(_DELAY),
    FaultKind.RESET_CONNECTION: _request(_HANG, frozenset({"with_effect"})),
    FaultKind.RESET_AT_ACCEPT: Traits(occasion=Occasion.CONNECTION),
    FaultKind.REFUSE_UPGRADE: Traits(
        occasion=Occasion.UPGRADE, options=_ANSWER | {"is_html", "retry_after_s"}, status=503
    ),
    FaultKind.DROP_FRAMES: Traits(occasion=Occasion.FRAME, options=_FRAME),
    FaultKind.DUPLICATE_FRAMES: Traits(occasion=Occasion.FRAME, options=_FRAME),
    FaultKind.REORDER_FRAMES: Traits(occasion=Occasion.FRAME, options=_FRAME | {"seconds"}),
    FaultKind.FREEZE_STREAM: _sockets("seconds", "max_seconds"),
    FaultKind.CLOSE_STREAM: _sockets("status"),
    FaultKind.DISCONNECT_STORM: _sockets("status", "seconds", "max_seconds", needs_seconds=True),
    FaultKind.STALE_TICKER: _state(),
    FaultKind.WRONG_CLOCK: _state("shift_s", "affects"),
    FaultKind.MAINTENANCE: _state(),
    FaultKind.REFUSE_CONNECTIONS: _state(needs_seconds=True),
}
