from axisor.domain.commands import COMMAND_TABLE, CommandClass, CommandName


def test_every_command_has_a_row() -> None:
    assert set(COMMAND_TABLE) == set(CommandName)


def test_nothing_that_moves_money_may_be_sent_twice() -> None:
    assert not [
        name for name, row in COMMAND_TABLE.items() if row.is_repeatable and row.command_class is not CommandClass.END
    ]
