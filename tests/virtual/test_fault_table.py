"""Every fault at every step of a rescue: nothing is lost, and nothing is paid twice."""

import pytest
from tests.virtual.faults import FaultKind, Strike
from tests.virtual.nights import TO_THE_MARK
from tests.virtual.scenario import Night, live
from tests.virtual.table import whole_table


@pytest.mark.parametrize("strike", whole_table(), ids=str)
def test_one_top_up_is_paid_whatever_strikes(strike: Strike) -> None:
    night = Night(seed=1, tape=TO_THE_MARK, strikes=(strike,), ends_when_settled=True, allow_second_send=False)

    verdict = live(night)

    assert verdict.complaints() == []
    assert verdict.injected[strike.kind] == 1
    assert verdict.due >= 1
    assert verdict.unsettled == 0
    # Beyond the bound a second payment cannot be excluded: it is counted, and stays within the limit.
    assert verdict.late_doubles <= (strike.kind is FaultKind.APPLY_TOO_LATE)
