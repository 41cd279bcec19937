"""The token bucket, in virtual time."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.virtual_time import LoopClock, run_virtually

from axisor.adapters.lnmarkets.limits import AddressBucket, RateLimit, SharedBucket, TokenBucket
from axisor.ports.exchange import Lane

EPSILON = 1e-6


@dataclass(frozen=True)
class Asking:
    at_s: float
    lane: Lane
    deadline_s: float
    cancel_after_s: float | None


@dataclass(frozen=True)
class Granted:
    number: int
    at_s: float
    lane: Lane
    asked_s: float


seconds = st.integers(0, 80).map(lambda tenths: tenths / 8)
askings = st.lists(
    st.builds(
        Asking,
        at_s=seconds,
        lane=st.sampled_from(list(Lane)),
        deadline_s=st.integers(0, 160).map(lambda tenths: tenths / 8),
        cancel_after_s=st.none() | seconds,
    ),
    max_size=40,
)
limits = st.builds(
    RateLimit,
    rate_per_s=st.sampled_from([0.5, 1.0, 5.0, 20.0]),
    burst=st.integers(1, 10),
    kept_for_protect=st.integers(0, 4),
)


@dataclass(frozen=True)
class Run:
    granted: list[Granted]
    refused: list[tuple[int, float]]


def play(limit: RateLimit, asked: list[Asking], punish_at_s: list[float] | None = None) -> Run:
    async def work() -> Run:
        clock = LoopClock()
        bucket = TokenBucket(limit, clock)
        run = Run([], [])

        async def ask(number: int, asking: Asking) -> None:
            await clock.sleep(asking.at_s)
            try:
                async with asyncio.timeout(asking.cancel_after_s):
                    is_granted = await bucket.acquire(asking.lane, deadline_s=asking.deadline_s)
            except TimeoutError:  # given up by its owner: neither granted nor refused
                return
            if is_granted:
                run.granted.append(Granted(number, clock.boottime_s(), asking.lane, asking.at_s))
            else:
                run.refused.append((number, clock.boottime_s()))

        async def punish(at_s: float) -> None:
            await clock.sleep(at_s)
            bucket.punish(None)

        async with asyncio.TaskGroup() as tasks:
            for number, asking in enumerate(asked):
                tasks.create_task(ask(number, asking))
            for at_s in punish_at_s or ():
                tasks.create_task(punish(at_s))
        return run

    return run_virtually(work())


@given(limit=limits, asked=askings, punish_at_s=st.lists(seconds, max_size=3))
def test_no_interval_sees_more_than_rate_times_time_plus_burst(
    limit: RateLimit, asked: list[Asking], punish_at_s: list[float]
) -> None:
    times = sorted(grant.at_s for grant in play(limit, asked, punish_at_s).granted)
    for first, start_s in enumerate(times):
        for last in range(first, len(times)):
            allowed = limit.rate_per_s * (times[last] - start_s) + limit.burst
            assert last - first + 1 <= allowed + EPSILON


@given(limit=limits, asked=askings)
def test_every_asker_is_answered_within_its_deadline(limit: RateLimit, asked: list[Asking]) -> None:
    run = play(limit, asked)
    for number, at_s in run.refused:
        assert at_s <= asked[number].at_s + asked[number].deadline_s + EPSILON
    for grant in run.granted:
        assert grant.at_s <= grant.asked_s + asked[grant.number].deadline_s + EPSILON


@given(limit=limits, asked=askings)
def test_a_lane_is_served_in_the_order_of_asking(limit: RateLimit, asked: list[Asking]) -> None:
    granted = play(limit, asked).granted
    for lane in Lane:
        served = [grant for grant in granted if grant.lane is lane]
        assert [grant.asked_s for grant in served] == sorted(grant.asked_s for grant in served)


@given(limit=limits, asked=askings)
def test_a_protective_request_waits_as_if_it_were_alone_with_its_like(limit: RateLimit, asked: list[Asking]) -> None:
    """Routine and user requests may empty the bucket down to the kept share, and cost it nothing beyond that."""
    run = play(limit, asked)
    for grant in run.granted:
        if grant.lane is Lane.PROTECT:
            continue
        protectors_waiting = [
            other
            for other in run.granted
            if other.lane is Lane.PROTECT and other.asked_s < grant.at_s - EPSILON and other.at_s > grant.at_s + EPSILON
        ]
        assert protectors_waiting == []


@given(waiting=st.integers(1, 30), burst=st.integers(3, 8))
def test_routine_requests_leave_the_kept_share_to_protection(waiting: int, burst: int) -> None:
    async def work() -> float:
        clock = LoopClock()
        bucket = TokenBucket(RateLimit(rate_per_s=1.0, burst=burst, kept_for_protect=2), clock)
        async with asyncio.TaskGroup() as tasks:
            routine = [tasks.create_task(bucket.acquire(Lane.ROUTINE, deadline_s=100)) for _ in range(waiting)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert await bucket.acquire(Lane.PROTECT, deadline_s=0)
            assert await bucket.acquire(Lane.PROTECT, deadline_s=0)
            at_s = clock.boottime_s()
            assert sum(task.done() for task in routine) == min(waiting, burst - 2)
        return at_s

    assert run_virtually(work()) == 0


def test_a_user_may_go_further_than_routine() -> None:
    async def work() -> None:
        bucket = TokenBucket(RateLimit(rate_per_s=1.0, burst=3, kept_for_protect=2), LoopClock())
        assert await bucket.acquire(Lane.ROUTINE, deadline_s=0)
        assert not await bucket.acquire(Lane.ROUTINE, deadline_s=0)
        assert await bucket.acquire(Lane.USER, deadline_s=0)
        assert not await bucket.acquire(Lane.USER, deadline_s=0)
        assert await bucket.acquire(Lane.PROTECT, deadline_s=0)
        assert not await bucket.acquire(Lane.PROTECT, deadline_s=0)

    run_virtually(work())


def test_a_burst_of_one_serves_every_lane() -> None:
    async def work() -> None:
        bucket = TokenBucket(RateLimit(rate_per_s=1.0, burst=1), LoopClock())
        for lane in (Lane.ROUTINE, Lane.USER, Lane.PROTECT):
            assert await bucket.acquire(lane, deadline_s=2)

    run_virtually(work())


@given(cancelled=st.sets(st.integers(0, 9)), step_s=st.integers(0, 4))
def test_cancelled_waiters_lose_no_token_and_block_nobody(cancelled: set[int], step_s: int) -> None:
    async def work() -> tuple[int, float]:
        clock = LoopClock()
        bucket = TokenBucket(RateLimit(rate_per_s=1.0, burst=1), clock)
        assert await bucket.acquire(Lane.PROTECT, deadline_s=0)
        async with asyncio.TaskGroup() as tasks:
            waiters = [tasks.create_task(bucket.acquire(Lane.USER, deadline_s=1000)) for _ in range(10)]
            await clock.sleep(step_s)
            withdrawn = sum(waiters[number].cancel() for number in sorted(cancelled))
        return withdrawn, clock.boottime_s()

    withdrawn, ended_s = run_virtually(work())
    # Whoever was left got one token each second, none was lost and none was made.
    assert ended_s == pytest.approx(max(10 - withdrawn, step_s), abs=0.01)


def test_a_429_stops_everybody_for_as_long_as_asked_and_halves_the_rate() -> None:
    async def work() -> None:
        clock = LoopClock()
        bucket = TokenBucket(RateLimit(rate_per_s=4.0, burst=4), clock)
        bucket.punish(3.0)
        assert bucket.wait_s == pytest.approx(3.5)
        assert not await bucket.acquire(Lane.PROTECT, deadline_s=2.9)
        assert await bucket.acquire(Lane.PROTECT, deadline_s=1)
        assert clock.boottime_s() == pytest.approx(3.5, abs=0.01)
        assert bucket.rate_per_s == pytest.approx(2.0, abs=0.1)

    run_virtually(work())


def test_several_429s_of_one_burst_halve_the_rate_once() -> None:
    async def work() -> None:
        bucket = TokenBucket(RateLimit(rate_per_s=4.0, burst=4), LoopClock())
        for _ in range(5):
            bucket.punish(None)
        assert bucket.rate_per_s == pytest.approx(2.0)

    run_virtually(work())


def test_the_rate_recovers_slowly_and_never_beyond_the_nominal_one() -> None:
    async def work() -> None:
        clock = LoopClock()
        bucket = TokenBucket(RateLimit(rate_per_s=4.0, burst=4), clock)
        bucket.punish(None)
        await clock.sleep(26)
        assert bucket.rate_per_s == pytest.approx(3.0)
        await clock.sleep(1000)
        assert bucket.rate_per_s == pytest.approx(4.0)

    run_virtually(work())


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit": '"default";r=0;t=2'},
        {"RateLimit": "limit=5, remaining=0, reset=2"},
        {"RateLimit-Remaining": "0", "RateLimit-Reset": "2"},
    ],
)
def test_a_bucket_that_the_exchange_calls_empty_waits_for_its_reset(headers: dict[str, str]) -> None:
    async def work() -> None:
        clock = LoopClock()
        bucket = TokenBucket(RateLimit(rate_per_s=10.0, burst=10), clock)
        bucket.observe(headers)
        assert not await bucket.acquire(Lane.PROTECT, deadline_s=1.9)
        assert await bucket.acquire(Lane.PROTECT, deadline_s=1)

    run_virtually(work())


def test_a_header_never_raises_the_bucket() -> None:
    async def work() -> None:
        bucket = TokenBucket(RateLimit(rate_per_s=0.1, burst=1), LoopClock())
        assert await bucket.acquire(Lane.PROTECT, deadline_s=0)
        bucket.observe({"RateLimit": '"default";r=40;t=1'})
        bucket.observe({"RateLimit": "nonsense"})
        assert not await bucket.acquire(Lane.PROTECT, deadline_s=0)

    run_virtually(work())


class Sleeper(LoopClock):
    """A machine that sleeps: only its boot-time clock goes on."""

    slept_s = 0.0

    def boottime_s(self) -> float:
        return super().boottime_s() + self.slept_s


@pytest.mark.parametrize("lane", [Lane.USER, Lane.ROUTINE])
def test_a_newcomer_never_takes_the_token_of_somebody_who_waits(lane: Lane) -> None:
    async def work() -> None:
        clock = Sleeper()
        bucket = TokenBucket(RateLimit(rate_per_s=0.1, burst=1), clock)
        assert await bucket.acquire(Lane.PROTECT, deadline_s=0)
        async with asyncio.TaskGroup() as tasks:
            waiter = tasks.create_task(bucket.acquire(Lane.USER, deadline_s=1000))
            await asyncio.sleep(1)
            clock.slept_s = 100  # a token is there, and nobody has noticed yet
            assert not await bucket.acquire(lane, deadline_s=0)
        assert waiter.result()

    run_virtually(work())


def test_the_time_a_machine_sleeps_counts() -> None:
    async def work() -> None:
        clock = Sleeper()
        bucket = TokenBucket(RateLimit(rate_per_s=0.01, burst=1), clock)
        assert await bucket.acquire(Lane.PROTECT, deadline_s=0)
        clock.slept_s = 100
        assert await bucket.acquire(Lane.PROTECT, deadline_s=0)

    run_virtually(work())


@pytest.mark.parametrize("bad", [{"rate_per_s": 0.0, "burst": 1}, {"rate_per_s": 1.0, "burst": 0}])
def test_a_limit_that_lets_nothing_through_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive rate"):
        RateLimit(**bad)  # type: ignore[arg-type]  # wrong on purpose


# keys that share an address


def test_a_storm_of_one_key_delays_another_by_one_request_at_the_address() -> None:
    async def work() -> list[str]:
        clock = LoopClock()
        address = AddressBucket(RateLimit(rate_per_s=1.0, burst=1), clock)
        roomy = RateLimit(rate_per_s=1000.0, burst=1000)
        stormy, calm = (SharedBucket(roomy, clock, address=address) for _ in range(2))
        served: list[str] = []

        async def ask(bucket: SharedBucket, name: str) -> None:
            assert await bucket.acquire(Lane.PROTECT, deadline_s=1000)
            served.append(name)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(ask(stormy, "stormy"))
            await asyncio.sleep(0.5)
            tasks.create_task(ask(calm, "calm"))
        return served

    assert run_virtually(work()).index("calm") <= 2


def test_routine_of_every_key_leaves_the_address_what_it_keeps_for_protection() -> None:
    async def work() -> float:
        clock = LoopClock()
        address = AddressBucket(RateLimit(rate_per_s=1.0, burst=5, kept_for_protect=2), clock)
        roomy = RateLimit(rate_per_s=1000.0, burst=1000)
        keys = [SharedBucket(roomy, clock, address=address) for _ in range(20)]
        async with asyncio.TaskGroup() as tasks:
            for key in keys:
                tasks.create_task(key.acquire(Lane.ROUTINE, deadline_s=60))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asked_s = clock.boottime_s()
            assert await keys[7].acquire(Lane.PROTECT, deadline_s=60)
            return clock.boottime_s() - asked_s

    assert run_virtually(work()) == 0.0


def test_a_token_of_the_key_comes_back_where_the_address_has_none() -> None:
    async def work() -> None:
        clock = LoopClock()
        address = AddressBucket(RateLimit(rate_per_s=0.01, burst=1), clock)
        key = SharedBucket(RateLimit(rate_per_s=0.01, burst=2, kept_for_protect=0), clock, address=address)
        assert await key.acquire(Lane.PROTECT, deadline_s=1)
        assert not await key.acquire(Lane.PROTECT, deadline_s=1)
        assert TokenBucket.state.fget(key).tokens == pytest.approx(1.01, abs=0.01)
        assert key.state.tokens < 1

    run_virtually(work())


def test_one_key_refused_for_haste_slows_down_nobody_else_and_two_do() -> None:
    async def work() -> tuple[float, float]:
        clock = LoopClock()
        address = AddressBucket(RateLimit(rate_per_s=8.0, burst=8), clock)
        one, other = (SharedBucket(RateLimit(rate_per_s=8.0, burst=8), clock, address=address) for _ in range(2))
        one.punish(1.0)
        one.punish(1.0)
        before = other.state.rate_per_s
        other.punish(1.0)
        return before, address.rate_per_s

    before, after = run_virtually(work())
    assert before == 8.0
    assert after < 8.0
