"""The history on disk is read exactly as the one in memory, whatever is written, replaced, committed or refused when."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from axisor.paper.history import FUNDING_FEES, MemoryHistory
from axisor.paper.player import MarketStatus, PlayerState
from axisor.paper.records import FundingFeeRow
from axisor.paper.store import MarketPosition, Store

POSITION = MarketPosition(
    source="manual",
    player=PlayerState(run_id="1", status=MarketStatus.RUNNING, resumes_to=MarketStatus.RUNNING, speed=1),
)
accounts = st.sampled_from(["ann", "bob"])
items = st.integers(1, 12).map(str)
times = st.integers(0, 30)


class HistoryMachine(RuleBasedStateMachine):
    """Two accounts' rows, put into both; the times are not in order, and ids come back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.memory = MemoryHistory()
        self.is_being_written = False

    @initialize()
    def open(self) -> None:
        self.store = Store(Path(self.folder.name))

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(account=accounts, item_id=items, at_ms=times, fee=st.integers(-9, 9))
    def put(self, account: str, item_id: str, at_ms: int, fee: int) -> None:
        row = FundingFeeRow(trade_id=item_id, settlement_id="s", fee_sats=fee, at_ms=at_ms)
        for history in (self.memory, self.store.history):
            history.put(account, FUNDING_FEES, row, item_id=item_id, at_ms=at_ms)

    @precondition(lambda self: not self.is_being_written)
    @rule()
    def begin_commit(self) -> None:
        self.batch = self.store.batch([], market=POSITION)
        self.is_being_written = True

    @precondition(lambda self: self.is_being_written)
    @rule(is_noted=st.booleans())
    def write(self, is_noted: bool) -> None:
        """The file has it; whether the loop has heard of it yet must make no difference to a reader."""
        self.store.write(self.batch)
        if is_noted:
            self.store.history.written()
            self.is_being_written = False

    @precondition(lambda self: self.is_being_written)
    @rule()
    def refuse(self) -> None:
        self.store.history.put_back(self.batch.history)
        self.is_being_written = False

    @precondition(lambda self: not self.is_being_written)
    @rule()
    def reopen(self) -> None:
        self.store.write(self.store.batch([], market=POSITION))
        self.store.close()
        self.store = Store(Path(self.folder.name))

    @invariant()
    def both_read_the_same(self) -> None:
        for account in ("ann", "bob", "nobody"):
            for read in (
                lambda history, account=account: list(history.oldest_first(account, FUNDING_FEES)),
                lambda history, account=account: list(history.newest_first(account, FUNDING_FEES)),
                lambda history, account=account: list(history.newest_first(account, FUNDING_FEES, before_ms=15)),
                lambda history, account=account: [history.find(account, FUNDING_FEES, str(n)) for n in range(13)],
                lambda history, account=account: history.count(account, FUNDING_FEES),
            ):
                assert read(self.store.history) == read(self.memory)


HistoryMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestHistory = HistoryMachine.TestCase


def test_a_long_shelf_is_read_in_order_and_only_as_far_as_it_is_asked_for() -> None:
    with closing(Store.temporary()) as store:
        for number in range(1_000):
            row = FundingFeeRow(trade_id="t", settlement_id=str(number), fee_sats=number, at_ms=number // 3)
            store.history.put("ann", FUNDING_FEES, row, item_id=str(number), at_ms=row.at_ms)
            if number == 900:
                store.write(store.batch([], market=POSITION))
                store.history.written()
        newest = [row.fee_sats for row in store.history.newest_first("ann", FUNDING_FEES)]
        assert newest == list(reversed(range(1_000)))
        assert [row.fee_sats for row in store.history.oldest_first("ann", FUNDING_FEES)] == list(range(1_000))
        assert store.history.count("ann", FUNDING_FEES) == 1_000
        asked: list[str] = []
        store._reads.set_trace_callback(asked.append)
        older = store.history.newest_first("ann", FUNDING_FEES, before_ms=100)
        assert next(older).fee_sats == 299
        [statement] = [statement for statement in asked if "ORDER BY" in statement]
        [plan] = store._reads.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        assert plan[-1] == "SEARCH history USING INDEX history_time (owner=? AND at_ms<?)", "nothing is sorted"


def test_a_temporary_store_leaves_nothing_behind() -> None:
    store = Store.temporary()
    folder = Path(store._folder)
    assert folder.stat().st_mode & 0o077 == 0
    store.close()
    assert not folder.exists()
    assert sqlite3.threadsafety > 0, "one connection is used from more than one thread, one after the other"
