"""A stored case is decided again from its JSON alone."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.trades import a_running_trade

from axisor.domain.units import Price
from axisor.features.margin_guard import record
from axisor.features.margin_guard.policy import desired_stop_price, full_room
from axisor.features.margin_guard.record import CaseUnreadable, TakeBackCase, differences, dump_case
from axisor.features.margin_guard.take_back import Keep, TakeBack, TakeBackFacts, take_back

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def a_take_back(*, price: Price, added_sats: int | None, asked_sats: int | None, is_open: bool = False) -> TakeBackCase:
    trade = a_running_trade(margin_sats=400_000 + (added_sats or 0), entry_margin_sats=400_000)
    stop = desired_stop_price(trade, stop_share=Fraction(7, 20), full=full_room(trade))
    facts = TakeBackFacts(
        trade=replace(trade, stop_loss_price=stop),
        trigger_price=price,
        full_room=full_room(trade),
        stop_share=Fraction(7, 20),
        own_stop_price=stop,
        added_sats=added_sats,
        last_rescue_at=None,
        funding_at=None,
        is_top_up_open=is_open,
        is_take_back_open=False,
    )
    decided = take_back(facts, now=NOW, asked_sats=asked_sats)
    return TakeBackCase(facts=facts, rule=None, asked_sats=asked_sats, now=NOW, decision=decided)


def stored(case: TakeBackCase) -> dict[str, Any]:
    through_json: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dump_case(case)))
    return through_json


@given(
    price=st.integers(min_value=119_000, max_value=140_000).map(Price),
    added_sats=st.none() | st.integers(min_value=0, max_value=900_000),
    asked_sats=st.none() | st.integers(min_value=1, max_value=900_000),
    is_open=st.booleans(),
)
def test_what_could_be_taken_back_is_decided_alike_from_its_json(
    price: Price, added_sats: int | None, asked_sats: int | None, is_open: bool
) -> None:
    case = a_take_back(price=price, added_sats=added_sats, asked_sats=asked_sats, is_open=is_open)
    assert differences(stored(case)) == ()


def test_another_policy_is_seen_in_the_field_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    case = a_take_back(price=Price(124_000), added_sats=200_000, asked_sats=None)
    assert isinstance(case.decision, TakeBack)

    def less(facts: TakeBackFacts, *, now: datetime, asked_sats: int | None = None) -> TakeBack | Keep:
        decided = take_back(facts, now=now, asked_sats=asked_sats)
        return replace(decided, cap_sats=decided.cap_sats - 1) if isinstance(decided, TakeBack) else decided

    monkeypatch.setattr(record, "take_back", less)
    assert [found.field for found in differences(stored(case))] == ["decision.cap_sats"]


def test_facts_with_something_missing_are_not_decided() -> None:
    body = stored(a_take_back(price=Price(124_000), added_sats=200_000, asked_sats=None))
    del body["facts"]["added_sats"]
    with pytest.raises(CaseUnreadable):
        differences(body)
