import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.fakes.manual_clock import ManualClock

from axisor.domain.errors import LeaseLost
from axisor.infra.lease import FileLease

TTL_S = 5.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def a_lease(folder: Path, clock: ManualClock, owner: str = "first") -> FileLease:
    return FileLease(folder, "account", owner=owner, ttl_s=TTL_S, clock=clock)


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "account.lease"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=10)
    return process.pid


def test_a_free_lease_is_taken_with_the_first_fence(tmp_path: Path, clock: ManualClock) -> None:
    lease = a_lease(tmp_path / "new", clock)
    assert not lease.is_held
    takeover = lease.try_acquire()
    assert takeover is not None
    assert (takeover.fence, takeover.predecessor_ends_boottime_s) == (1, None)
    assert (lease.fence, lease.is_held) == (1, True)
    assert lease.expires_boottime_s == clock.boottime_s() + TTL_S


def test_who_holds_nothing_has_no_fence(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(LeaseLost):
        _ = a_lease(tmp_path, clock).fence


def test_nobody_else_takes_a_lease_that_is_held(tmp_path: Path, clock: ManualClock) -> None:
    a_lease(tmp_path, clock).try_acquire()
    second = a_lease(tmp_path, clock, "second")
    assert second.try_acquire() is None
    assert not second.is_held


def test_an_expired_lease_passes_on_and_its_old_owner_may_not_send(tmp_path: Path, clock: ManualClock) -> None:
    first, second = a_lease(tmp_path, clock), a_lease(tmp_path, clock, "second")
    first.try_acquire()
    ends_s = first.expires_boottime_s
    clock.advance(TTL_S)
    assert not first.is_held
    takeover = second.try_acquire()
    assert takeover is not None
    assert (takeover.fence, takeover.predecessor_ends_boottime_s) == (2, ends_s)
    with pytest.raises(LeaseLost):
        first.renew()
    with pytest.raises(LeaseLost):
        _ = first.fence
    assert second.is_held


def test_a_renewed_lease_lasts_longer_under_the_same_fence(tmp_path: Path, clock: ManualClock) -> None:
    first, second = a_lease(tmp_path, clock), a_lease(tmp_path, clock, "second")
    first.try_acquire()
    for _ in range(5):
        clock.advance(TTL_S - 0.5)
        first.renew()
        assert second.try_acquire() is None
    assert (first.is_held, first.fence) == (True, 1)


def test_a_lease_that_ran_out_is_not_renewed_even_if_nobody_took_it(tmp_path: Path, clock: ManualClock) -> None:
    lease = a_lease(tmp_path, clock)
    lease.try_acquire()
    clock.advance(TTL_S)
    with pytest.raises(LeaseLost):
        lease.renew()
    takeover = lease.try_acquire()
    assert takeover is not None
    assert takeover.fence == 2


def test_a_lease_whose_file_is_gone_is_lost(tmp_path: Path, clock: ManualClock) -> None:
    lease = a_lease(tmp_path, clock)
    lease.try_acquire()
    (tmp_path / "account.lease").unlink()
    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_released_lease_passes_on_without_a_quiet_time(tmp_path: Path, clock: ManualClock) -> None:
    first, second = a_lease(tmp_path, clock), a_lease(tmp_path, clock, "second")
    first.try_acquire()
    first.release()
    assert not first.is_held
    takeover = second.try_acquire()
    assert takeover is not None
    assert (takeover.fence, takeover.predecessor_ends_boottime_s) == (2, None)


def test_who_lost_a_lease_cannot_release_it_for_its_new_owner(tmp_path: Path, clock: ManualClock) -> None:
    first, second = a_lease(tmp_path, clock), a_lease(tmp_path, clock, "second")
    first.try_acquire()
    clock.advance(TTL_S)
    second.try_acquire()
    first.release()
    second.renew()
    assert second.is_held


def test_the_lease_of_a_dead_process_passes_on_at_once(tmp_path: Path, clock: ManualClock) -> None:
    a_lease(tmp_path, clock).try_acquire()
    rewrite(tmp_path, owner_pid=a_dead_pid())
    takeover = a_lease(tmp_path, clock, "second").try_acquire()
    assert takeover is not None
    # It may have sent until this very instant, not longer.
    assert takeover.predecessor_ends_boottime_s == clock.boottime_s()


def test_the_lease_of_a_process_seen_to_be_dead_passes_on(tmp_path: Path, clock: ManualClock) -> None:
    a_lease(tmp_path, clock).try_acquire()
    second = a_lease(tmp_path, clock, "second")
    assert second.try_acquire(is_dead_pid=os.getpid() + 1) is None
    assert second.try_acquire(is_dead_pid=os.getpid()) is not None


def test_a_process_of_another_user_is_alive(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, signal: int) -> None:
        raise PermissionError

    a_lease(tmp_path, clock).try_acquire()
    monkeypatch.setattr(os, "kill", refuse)
    assert a_lease(tmp_path, clock, "second").try_acquire() is None


def test_a_lease_of_an_earlier_boot_is_worth_nothing_whatever_its_clock_said(
    tmp_path: Path, clock: ManualClock
) -> None:
    a_lease(tmp_path, clock).try_acquire()
    rewrite(tmp_path, boot_id="an earlier boot", expires_boottime_s=1e9)
    takeover = a_lease(tmp_path, clock, "second").try_acquire()
    assert takeover is not None
    assert (takeover.fence, takeover.predecessor_ends_boottime_s) == (2, 0.0)


def test_its_own_lease_is_taken_again_under_a_new_fence(tmp_path: Path, clock: ManualClock) -> None:
    a_lease(tmp_path, clock).try_acquire()
    again = a_lease(tmp_path, clock)
    takeover = again.try_acquire()
    assert takeover is not None
    assert takeover.fence == 2


def test_leases_of_different_names_do_not_meet(tmp_path: Path, clock: ManualClock) -> None:
    a_lease(tmp_path, clock).try_acquire()
    other = FileLease(tmp_path, "another", owner="second", ttl_s=TTL_S, clock=clock)
    assert other.try_acquire() is not None


OWNERS = ("a", "b", "c")


class Leases(RuleBasedStateMachine):
    """Three owners of one lease, in any order of deeds and any passing of time."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        for path in self.folder.glob("account.*"):
            path.unlink()
        self.leases = {owner: a_lease(self.folder, self.clock, owner) for owner in OWNERS}
        self.last_fence = 0

    @rule(owner=st.sampled_from(OWNERS))
    def acquire(self, owner: str) -> None:
        somebody = [other for other in OWNERS if other != owner and self.leases[other].is_held]
        takeover = self.leases[owner].try_acquire()
        assert (takeover is None) == bool(somebody)
        if takeover is not None:
            assert takeover.fence > self.last_fence
            self.last_fence = takeover.fence
            ends_s = takeover.predecessor_ends_boottime_s
            assert ends_s is None or ends_s <= self.clock.boottime_s()

    @rule(owner=st.sampled_from(OWNERS))
    def renew(self, owner: str) -> None:
        lease = self.leases[owner]
        if lease.is_held:
            lease.renew()
            assert lease.expires_boottime_s == self.clock.boottime_s() + TTL_S
        else:
            with pytest.raises(LeaseLost):
                lease.renew()

    @rule(owner=st.sampled_from(OWNERS))
    def release(self, owner: str) -> None:
        self.leases[owner].release()
        assert not self.leases[owner].is_held

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.9, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def at_most_one_may_send(self) -> None:
        holders = [owner for owner in OWNERS if self.leases[owner].is_held]
        assert len(holders) <= 1
        assert all(self.leases[owner].fence == self.last_fence for owner in holders)


def test_never_two_owners_whatever_happens(tmp_path: Path) -> None:
    machine = type("LeasesHere", (Leases,), {"folder": tmp_path})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25))
