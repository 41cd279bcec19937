"""Each safeguard switched off in turn: the judge sees the harm in the books, and sees none with it switched on."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import pytest
from tests.virtual.database import Handlers
from tests.virtual.faults import FaultKind, Step, Strike
from tests.virtual.guard import Mutation
from tests.virtual.judge import Verdict
from tests.virtual.nights import TO_THE_MARK
from tests.virtual.scenario import Night, live

from axisor.adapters.lnmarkets.limits import PRIVATE_LIMIT
from axisor.domain.commands import AddMargin
from axisor.features.execution import outcome
from axisor.features.execution.executor import Executor
from axisor.monitor.book import WatchedTrade
from axisor.ports.exchange import Answer, AnswerKind, SignedRequest


class SignsAfterSent(Executor):
    """The mistake: the signature is made when the bytes leave, not before the attempt is stored."""

    async def send(self, request: SignedRequest) -> Answer:
        if not self._lease.is_held:
            return Answer(kind=AnswerKind.NOT_PROCESSED, reason="lease_expired")
        client = self._client
        if isinstance(request.command, AddMargin):
            await client.plan.before(Step.WRITE, client.process)
        return await client.send(client.sign(request.command), deadline_s=self._timing.send_deadline_s)


@contextmanager
def no_unique_key() -> Iterator[None]:
    """The mistake: tables without unique keys."""
    with pytest.MonkeyPatch.context() as patch:
        insert = Handlers.insert_attempt

        def insert_anyway(self: Handlers, values: dict[str, object]) -> object:
            keyed = [self._tables.of(table) for table in ("intent_cause", "attempt")]
            hidden = [dict(rows) for rows in keyed]
            for rows in keyed:
                rows.clear()
            try:
                return insert(self, values)
            finally:
                for rows, before in zip(keyed, hidden, strict=True):
                    rows.update({key: row for key, row in before.items() if key not in rows})

        patch.setattr(Handlers, "insert_attempt", insert_anyway)
        yield


@contextmanager
def margin_for_counter() -> Iterator[None]:
    """The mistake: outcomes are read from the margin alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WatchedTrade, "counter_of", lambda _, trade: trade.margin_sats)
        patch.setattr(outcome, "added_sats", lambda trade, **_: trade.margin_sats)
        yield


@dataclass(frozen=True)
class Mutant:
    """A night that shows what a safeguard is for, and how the safeguard is taken away."""

    night: Night
    mutation: Mutation = field(default_factory=Mutation)
    apply: Callable[[], AbstractContextManager[None]] = nullcontext
    is_harmed: Callable[[Verdict], bool] = lambda verdict: verdict.doubled > 0


def a_night(*strikes: Strike, storms: tuple[tuple[float, FaultKind], ...] = ()) -> Night:
    return Night(seed=1, tape=TO_THE_MARK, strikes=strikes, storms=storms, allow_second_send=False)


MUTANTS = {
    "no_quiet_period": Mutant(
        a_night(Strike(FaultKind.APPLY_LATE, Step.WRITE, is_before=True)), Mutation(quiet_period_s=0.0)
    ),
    "no_fence": Mutant(
        a_night(
            # The old owner wakes with old facts, and neither the exchange nor the database tells it better.
            storms=(
                (9.9, FaultKind.FREEZE_PAST_QUIET),
                (57.0, FaultKind.DATABASE_AWAY),
                *((57.0, FaultKind.LOSE_READING) for _ in range(6)),
            ),
        ),
        Mutation(has_fence=False),
    ),
    "no_unique_key": Mutant(a_night(storms=((0.0, FaultKind.TWO_HOSTS),)), apply=no_unique_key),
    "signature_after_sent": Mutant(
        a_night(Strike(FaultKind.FREEZE_PAST_QUIET, Step.WRITE, is_before=True)), Mutation(executor=SignsAfterSent)
    ),
    "counter_replaced_by_margin": Mutant(
        a_night(Strike(FaultKind.LOSE_ANSWER, Step.WRITE, is_before=True), storms=((10.01, FaultKind.FUNDING),)),
        apply=margin_for_counter,
        is_harmed=lambda verdict: verdict.misbooked_sats > 0,
    ),
    "no_reserved_tokens": Mutant(
        a_night(storms=((8.0, FaultKind.ROUTINE_STORM),)),
        Mutation(private_limit=replace(PRIVATE_LIMIT, kept_for_protect=0)),
        is_harmed=lambda verdict: max(verdict.wait_s) > 0,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_missing_safeguard_does_harm_that_the_judge_sees(name: str) -> None:
    mutant = MUTANTS[name]
    with mutant.apply():
        verdict = live(replace(mutant.night, mutation=mutant.mutation))

    assert mutant.is_harmed(verdict)


@pytest.mark.parametrize("name", MUTANTS)
def test_with_every_safeguard_the_same_night_does_no_harm(name: str) -> None:
    mutant = MUTANTS[name]

    verdict = live(mutant.night)

    assert not mutant.is_harmed(verdict)
    assert verdict.complaints() == []
    assert verdict.due >= 1
