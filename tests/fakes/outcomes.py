"""How an exchange may treat a command."""

from dataclasses import dataclass
from enum import Enum, auto

from axisor.domain.commands import Command


class Treatment(Enum):
    ACCEPT = auto()
    LOSE_ANSWER = auto()  # applied, and nobody is told
    LOSE_REQUEST = auto()  # not applied, and nobody is told
    APPLY_LATE = auto()  # nobody is told, and it is applied after a while
    HANG = auto()  # no answer until the deadline, not applied
    REFUSE = auto()
    RATE_LIMIT = auto()
    REFUSE_KEY = auto()
    UNAVAILABLE = auto()


@dataclass(frozen=True)
class Outcome:
    """The treatment of one command, of the next one of a kind where `command` says so."""

    treatment: Treatment
    command: type[Command] | None = None
    after_s: float = 0.0
