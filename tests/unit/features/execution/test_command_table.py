from typing import get_args

import pytest
from tests.factories.guard import an_attempt

from axisor.domain import commands
from axisor.domain.commands import AccountCommand, CommandClass, CommandName, CrossDeposit, Swap, TradeCommand
from axisor.domain.wallet import Asset
from axisor.features.execution.command_table import COMMAND_TABLE, SettledBy, class_of
from axisor.features.execution.evidence import readings_for
from axisor.features.execution.repository import dump_command, load_command
from axisor.features.execution.settlement import shows_effect

COMMANDS = (*get_args(TradeCommand.__value__), *get_args(AccountCommand.__value__))


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    assert set(COMMAND_TABLE) == set(CommandName)
    assert {command.name for command in COMMANDS} == set(CommandName)


def test_every_class_of_a_command_belongs_to_the_union_that_is_sent() -> None:
    defined = {kind for kind in vars(commands).values() if isinstance(kind, type) and hasattr(kind, "name")}
    named = {kind for kind in defined if isinstance(getattr(kind, "name", None), CommandName)} - {CommandName}
    assert named == set(COMMANDS)


def test_nothing_that_moves_money_may_be_sent_twice() -> None:
    repeatable = {name for name, row in COMMAND_TABLE.items() if row.is_repeatable}
    ends = {name for name, row in COMMAND_TABLE.items() if row.command_class is CommandClass.END}
    assert repeatable - ends == {CommandName.SET_CROSS_LEVERAGE}
    assert ends - repeatable == {CommandName.REDUCE_CROSS}


def test_a_command_without_a_row_has_no_class(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {name: row for name, row in COMMAND_TABLE.items() if name is not CommandName.CROSS_DEPOSIT}
    monkeypatch.setattr("axisor.features.execution.command_table.COMMAND_TABLE", rows)
    with pytest.raises(KeyError):
        class_of(CrossDeposit(amount_sats=1))


def test_a_swap_into_sats_is_held_up_by_no_more_than_a_rescue_is() -> None:
    into_sats = Swap(in_asset=Asset.USD, out_asset=Asset.BTC, in_amount=100)
    out_of_sats = Swap(in_asset=Asset.BTC, out_asset=Asset.USD, in_amount=100)
    assert class_of(into_sats) is CommandClass.MONEY_IN
    assert class_of(out_of_sats) is CommandClass.RISK


def test_a_command_is_stored_and_loaded_as_it_was() -> None:
    swap = Swap(in_asset=Asset.USD, out_asset=Asset.BTC, in_amount=1234)
    assert load_command(dump_command(swap)) == swap
    assert load_command(dump_command(commands.CloseCross())) == commands.CloseCross()


def test_what_is_settled_by_a_list_is_not_read_off_a_trade() -> None:
    attempt = an_attempt(CrossDeposit(amount_sats=1))
    assert readings_for([attempt]) == {SettledBy.CROSS_TRANSFERS}
    with pytest.raises(TypeError):
        shows_effect(attempt, None)  # type: ignore[arg-type] # no trade is looked at
