"""Faults that the exchange can be told to have, so that its clients can be tested against them."""

from axisor.paper.faults.book import FaultBook
from axisor.paper.faults.fault import Fault
from axisor.paper.faults.injections import Injection, InjectionLog
from axisor.paper.faults.kinds import FaultKind, Occasion
from axisor.paper.faults.spec import fault_of, parse_fault_spec

__all__ = [
    "Fault",
    "FaultBook",
    "FaultKind",
    "Injection",
    "InjectionLog",
    "Occasion",
    "fault_of",
    "parse_fault_spec",
]
