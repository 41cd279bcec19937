from tests.unit.features.execution.test_evidence import position

from axisor.domain.trades import PositionSide


def test_the_sign_of_the_quantity_is_the_side() -> None:
    assert position().side is PositionSide.LONG
    assert position(quantity_usd=-1).side is PositionSide.SHORT
    assert position(quantity_usd=0).side is None
