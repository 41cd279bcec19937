"""Which request a fault meets, and how faults are written on a command line."""

import pytest

from axisor.domain.errors import ConfigurationError
from axisor.paper.faults import Fault, FaultBook, FaultKind, parse_fault_spec

ADD = "/v3/futures/isolated/trade/add-margin"
ANN, NOBODY = frozenset({"ann", "key-1"}), frozenset[str]()


def meet(book: FaultBook, *, method: str = "POST", path: str = ADD, account: frozenset[str] = ANN) -> str | None:
    fault = book.meet(method=method, path=path, account=account)
    return None if fault is None else str(fault.kind)


def test_a_fault_meets_only_what_it_names() -> None:
    book = FaultBook((Fault(kind=FaultKind.STATUS, method="post", path="add-margin$", account="ann"),))
    assert meet(book, method="GET") is None
    assert meet(book, path="/v3/account") is None
    assert meet(book, account=NOBODY) is None
    assert meet(book) == "status"
    assert meet(book) is None, "it is spent"
    assert [fault.met for fault in book.faults] == [1]


def test_nth_and_count_choose_among_the_matching_requests() -> None:
    book = FaultBook((Fault(kind=FaultKind.LOSE_ANSWER, nth=2, count=2),))
    assert [meet(book) for _ in range(5)] == [None, "lose_answer_after_apply", "lose_answer_after_apply", None, None]


def test_a_count_of_zero_never_ends_until_withdrawn() -> None:
    book = FaultBook((Fault(kind=FaultKind.LOSE_REQUEST, count=0),))
    assert [meet(book) for _ in range(3)] == ["lose_request"] * 3
    assert book.clear("unknown") == 0
    assert book.clear(book.faults[0].fault_id) == 1
    assert meet(book) is None


def test_the_oldest_matching_fault_comes_first() -> None:
    book = FaultBook((Fault(kind=FaultKind.STATUS), Fault(kind=FaultKind.LOSE_REQUEST)))
    assert [meet(book), meet(book), meet(book)] == ["status", "lose_request", None]
    assert book.clear() == 2


def test_stream_faults_never_meet_a_request() -> None:
    assert meet(FaultBook((Fault(kind=FaultKind.FREEZE_STREAM),))) is None


def test_a_command_line_of_faults_is_understood() -> None:
    first, second = parse_fault_spec(
        "lose_answer_after_apply:path=add-margin,nth=3; delay_answer_s:seconds=1.5,count=0"
    )
    assert (first.kind, first.path, first.nth) == (FaultKind.LOSE_ANSWER, "add-margin", 3)
    assert (second.kind, second.seconds, second.count) == (FaultKind.DELAY_ANSWER, 1.5, 0)
    assert parse_fault_spec("") == ()


@pytest.mark.parametrize(
    "spec",
    ["explode", "status:status=many", "status:nth", "status:colour=red", "slow_drip:seconds=-1"],
)
def test_a_command_line_that_is_not_understood_is_named(spec: str) -> None:
    with pytest.raises(ConfigurationError, match="--faults"):
        parse_fault_spec(spec)


@pytest.mark.parametrize("fault", [Fault(kind=FaultKind.STATUS, path="("), Fault(kind=FaultKind.STATUS, nth=0)])
def test_an_impossible_fault_is_refused(fault: Fault) -> None:
    with pytest.raises(ConfigurationError):
        FaultBook().add(fault)
