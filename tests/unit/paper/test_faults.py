"""Which occasion a fault meets, how faults are written, and what is recorded of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor.domain.errors import ConfigurationError
from axisor.paper.faults import Fault, FaultBook, FaultKind, InjectionLog, fault_of, parse_fault_spec
from axisor.paper.faults.kinds import TRAITS

ADD = "/v3/futures/isolated/trade/add-margin"
ANN, NOBODY = frozenset({"ann", "key-1"}), frozenset[str]()
LOST = FaultKind.LOSE_REQUEST


def meet(
    book: FaultBook,
    *,
    method: str = "POST",
    path: str = ADD,
    account: frozenset[str] = ANN,
    is_command: bool = True,
    now_s: float = 0.0,
) -> str | None:
    fault = book.meet(method=method, path=path, account=account, is_command=is_command, now_s=now_s)
    return None if fault is None else str(fault.kind)


def turns(fault: Fault, *, of: int, seed: int = 1) -> list[int]:
    """Return which requests, counted from 1, a fault meets."""
    book = FaultBook((fault,), seed=seed)
    return [number for number in range(1, of + 1) if meet(book) is not None]


def test_a_fault_meets_only_what_it_names() -> None:
    book = FaultBook((Fault(kind=FaultKind.STATUS, method="post", path="add-margin$", account="ann"),))
    assert meet(book, method="GET") is None
    assert meet(book, path="/v3/account") is None
    assert meet(book, account=NOBODY) is None
    assert meet(book) == "status"
    assert meet(book) is None, "it is spent"
    assert [fault.met for fault in book.faults] == [1]


def test_nth_every_and_count_choose_among_the_matching_requests() -> None:
    assert turns(Fault(kind=LOST, nth=2, count=2), of=5) == [2, 3]
    assert turns(Fault(kind=LOST, nth=2, every=3, count=0), of=9) == [2, 5, 8]
    assert turns(Fault(kind=LOST, every=2, count=2), of=9) == [1, 3]


def test_the_nth_request_is_counted_even_where_an_older_fault_has_it() -> None:
    book = FaultBook((Fault(kind=FaultKind.STATUS), Fault(kind=LOST, nth=2)))
    assert [meet(book) for _ in range(3)] == ["status", "lose_request", None]


def test_a_count_of_zero_never_ends_until_withdrawn() -> None:
    book = FaultBook((Fault(kind=LOST, count=0),))
    assert [meet(book) for _ in range(3)] == ["lose_request"] * 3
    assert book.clear("unknown") == 0
    assert book.clear(book.faults[0].fault_id) == 1
    assert meet(book) is None


def test_the_oldest_matching_fault_comes_first() -> None:
    book = FaultBook((Fault(kind=FaultKind.STATUS), Fault(kind=LOST)))
    assert [meet(book), meet(book), meet(book)] == ["status", "lose_request", None]
    assert book.clear() == 2


def test_a_window_opens_and_closes_and_what_is_outside_is_not_counted() -> None:
    book = FaultBook()
    book.add(Fault(kind=LOST, after_s=10, for_s=5, nth=2), now_s=100)
    met = [now_s for now_s in (100, 109.9, 110, 111, 114.9, 115, 200) if meet(book, now_s=now_s)]
    assert met == [111, 114.9]
    assert book.left_s(book.faults[0], now_s=112) == 3


@given(seed=st.integers(0, 2**32), probability=st.floats(0, 1))
def test_chance_is_the_same_for_a_seed(seed: int, probability: float) -> None:
    def chosen(exchange_seed: int) -> list[int]:
        return turns(Fault(kind=LOST, count=0, probability=probability, seed=seed), of=20, seed=exchange_seed)

    assert chosen(1) == chosen(2), "its own seed decides"


def test_chance_without_a_seed_is_the_exchanges() -> None:
    def chosen(seed: int) -> list[int]:
        return turns(Fault(kind=LOST, count=0, probability=0.5), of=200, seed=seed)

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    assert 70 < len(chosen(1)) < 130
    assert turns(Fault(kind=LOST, count=0, probability=0), of=50) == []
    assert turns(Fault(kind=LOST, count=0, probability=1), of=3) == [1, 2, 3]


def test_two_faults_of_one_exchange_have_chances_of_their_own() -> None:
    book = FaultBook((Fault(kind=LOST, count=0, probability=0.5), Fault(kind=FaultKind.STATUS, count=0)), seed=1)
    other = FaultBook((Fault(kind=FaultKind.STATUS, nth=99), Fault(kind=LOST, count=0, probability=0.5)), seed=1)
    assert [meet(book) == "lose_request" for _ in range(64)] != [meet(other) == "lose_request" for _ in range(64)]


def test_random_times_lie_between_their_bounds_and_repeat_for_a_seed() -> None:
    def drawn() -> list[float]:
        fault = Fault(kind=FaultKind.APPLY_LATE, seconds=1, max_seconds=60, count=0)
        book = FaultBook((fault,), seed=7)
        return [book.seconds_of(fault) for _ in range(50)]

    assert drawn() == drawn()
    assert all(1 <= seconds <= 60 for seconds in drawn())
    assert len(set(drawn())) == 50


def test_an_accounts_refusal_meets_commands_and_readings_only_if_asked() -> None:
    for reads_too in (False, True):
        book = FaultBook((Fault(kind=FaultKind.REFUSE_ACCOUNT, account="ann", reads_too=reads_too),))
        assert (meet(book, is_command=False) is not None) == reads_too
        assert [meet(book), meet(book), meet(book, account=NOBODY)] == ["refuse_account", "refuse_account", None]


def test_each_kind_waits_for_its_own_occasion() -> None:
    book = FaultBook(
        Fault(kind=kind, seconds=1 if TRAITS[kind].needs_seconds else 0) for kind in FaultKind if kind is not LOST
    )
    book.add(Fault(kind=LOST))
    upgrade, connection = book.meet_upgrade(now_s=0), book.meet_connection(now_s=0)
    frame = book.meet_frame(topic="wallet/deposit", account=NOBODY, now_s=0)
    assert [None if fault is None else fault.kind for fault in (upgrade, connection, frame)] == [
        FaultKind.REFUSE_UPGRADE,
        FaultKind.RESET_AT_ACCEPT,
        FaultKind.DROP_FRAMES,
    ]
    met = []
    while (kind := meet(book, method="GET", is_command=False)) and kind not in met:
        met.append(kind)
    assert not {"freeze_stream", "maintenance", "drop_frames", "refuse_upgrade"} & set(met)


def test_a_frame_fault_names_topic_and_account() -> None:
    book = FaultBook((Fault(kind=FaultKind.DROP_FRAMES, topic="^wallet/", account="ann", count=0),))
    assert book.meet_frame(topic="wallet/deposit", account=ANN, now_s=0) is not None
    assert book.meet_frame(topic="wallet/deposit", account=NOBODY, now_s=0) is None
    assert book.meet_frame(topic="futures/inverse/btc_usd/ticker", account=ANN, now_s=0) is None


def test_a_request_triggers_what_names_a_request() -> None:
    book = FaultBook(
        (
            Fault(kind=FaultKind.MAINTENANCE, seconds=1, path="add-margin", nth=2),
            Fault(kind=FaultKind.FREEZE_STREAM, seconds=1, account="ann"),
        )
    )

    def triggered() -> list[str]:
        faults = book.triggered(method="POST", path=ADD, account=ANN, is_command=True, now_s=0)
        return [str(fault.kind) for fault in faults]

    assert triggered() == []
    assert triggered() == ["maintenance"]


def test_a_command_line_of_faults_is_understood() -> None:
    first, second = parse_fault_spec(
        "lose_answer_after_apply:path=add-margin,nth=3; delay_answer_s:seconds=1.5,count=0"
    )
    assert (first.kind, first.path, first.nth, first.count) == (FaultKind.LOSE_ANSWER, "add-margin", 3, 1)
    assert (second.kind, second.seconds, second.count) == (FaultKind.DELAY_ANSWER, 1.5, 0)
    assert parse_fault_spec("") == ()


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_is_understood_on_the_command_line(kind: FaultKind) -> None:
    needed = ",seconds=2" if TRAITS[kind].needs_seconds else ""
    [fault] = parse_fault_spec(f"{kind}:after_s=5,for_s=60,every=2,probability=0.5,seed=3{needed}")
    assert (fault.kind, fault.after_s, fault.for_s, fault.every, fault.probability, fault.seed) == (
        kind,
        5,
        60,
        2,
        0.5,
        3,
    )


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("explode", "slow_drip"),
        ("status:status=many", "status"),
        ("status:nth", "'nth' is not NAME=VALUE"),
        ("status:colour=red", "'colour': it takes account,"),
        ("slow_drip:status=503", "no option 'status'"),
        ("slow_drip:seconds=-1", "seconds"),
        ("status:seen=3", "no option 'seen'"),
        ("maintenance:seconds=soon", "seconds"),
        ("wrong_clock:affects=nothing", "affects"),
    ],
)
def test_a_command_line_that_is_not_understood_is_named(spec: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match="--faults") as refused:
        parse_fault_spec(spec)
    assert named in refused.value.message


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({}, "needs a kind"),
        ({"kind": ["status"]}, "is unknown"),
        ({"kind": "status", "path": "("}, "path"),
        ({"kind": "drop_frames", "topic": "("}, "topic"),
        ({"kind": "status", "nth": 0}, "nth"),
        ({"kind": "status", "every": 0}, "every"),
        ({"kind": "status", "nth": "2"}, "nth"),
        ({"kind": "status", "probability": 1.5}, "probability"),
        ({"kind": "status", "status": 42}, "status"),
        ({"kind": "close_stream", "status": 503}, "status"),
        ({"kind": "apply_late_s", "seconds": 5, "max_seconds": 4}, "max_seconds"),
        ({"kind": "disconnect_storm"}, "seconds"),
        ({"kind": "refuse_connections"}, "seconds"),
    ],
)
def test_an_impossible_fault_is_refused_by_name(members: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        fault_of(members)
    assert named in refused.value.message


def test_a_fault_id_is_used_once() -> None:
    book = FaultBook((Fault(kind=LOST, fault_id="mine"),))
    with pytest.raises(ConfigurationError, match="mine"):
        book.add(Fault(kind=LOST, fault_id="mine"))


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        (Fault(kind=LOST), 1),
        (Fault(kind=LOST, for_s=3), 0),
        (Fault(kind=LOST, for_s=3, count=2), 2),
        (Fault(kind=FaultKind.CLOSE_STREAM, period_s=1), 0),
        (Fault(kind=FaultKind.DISCONNECT_STORM, seconds=3), 1),
        (Fault(kind=FaultKind.READ_ONLY_ACCOUNT), 0),
    ],
)
def test_how_often_a_fault_strikes_without_a_count(fault: Fault, count: int) -> None:
    assert fault.count == count


def test_totals_remember_what_the_bounded_log_forgets() -> None:
    log = InjectionLog(kept=3)
    fault = Fault(kind=LOST)
    records = [log.record(fault, done="lost", at_ms=n, request_seq=n) for n in range(1, 6)]
    log.has_effect(records[0])
    log.has_effect(records[0])
    assert [record.seq for record in log.after(0)] == [3, 4, 5]
    assert [record.seq for record in log.after(4)] == [5]
    assert (log.count, log.totals["lose_request"].injected, log.totals["lose_request"].with_effect) == (5, 5, 1)
