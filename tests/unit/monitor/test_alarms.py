from axisor.monitor.alarms import Alarms


def test_a_key_has_one_alarm_the_nearest() -> None:
    alarms: Alarms[str] = Alarms()
    for at_s in (5.0, 3.0, 4.0, 3.0):
        alarms.set("trade", at_s)

    assert len(alarms) == 1
    assert alarms.take_due(2.9) == []
    assert alarms.take_due(10.0) == ["trade"]
    assert alarms.take_due(10.0) == []


def test_alarms_ring_in_order_and_a_forgotten_one_does_not() -> None:
    alarms: Alarms[str] = Alarms()
    for key, at_s in (("late", 3.0), ("early", 1.0), ("forgotten", 2.0)):
        alarms.set(key, at_s)
    alarms.discard("forgotten")

    assert alarms.take_due(9.0) == ["early", "late"]


async def test_a_nearer_alarm_ends_the_wait() -> None:
    alarms: Alarms[str] = Alarms()
    alarms.set("trade", 0.01)

    await alarms.wait(0.0)

    assert alarms.take_due(0.01) == ["trade"]
