"""Reads faults from a command line and from JSON members, and says what is allowed where it cannot."""

from collections.abc import Mapping
from typing import Any

import msgspec

from axisor.domain.errors import ConfigurationError
from axisor.paper.faults.fault import Fault
from axisor.paper.faults.kinds import COMMON_OPTIONS, TRAITS, FaultKind


def fault_of(members: Mapping[str, Any], *, is_text: bool = False) -> Fault:
    """Return the fault that these members describe; with `is_text` numbers may be written as text.

    Raises:
        ConfigurationError: naming the member that is not understood, and what is allowed.
    """
    if "kind" not in members:
        raise ConfigurationError(f"a fault needs a kind: one of {_listed(FaultKind)}")
    try:
        kind = FaultKind(members["kind"])
    except ValueError as error:
        raise ConfigurationError(f"kind {members['kind']!r} is unknown: one of {_listed(FaultKind)}") from error
    allowed = TRAITS[kind].options | COMMON_OPTIONS
    for name in members:
        if name != "kind" and name not in allowed:
            raise ConfigurationError(f"{kind} has no option {name!r}: it takes {_listed(sorted(allowed))}")
    try:
        fault = msgspec.convert(dict(members), type=Fault, strict=not is_text)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{kind}: {error}") from error
    fault.check()
    return fault


def parse_fault_spec(spec: str) -> tuple[Fault, ...]:
    """Return the faults of a command line: `KIND:NAME=VALUE,NAME=VALUE;KIND:...`.

    Raises:
        ConfigurationError: naming the part that is not understood.
    """
    return tuple(_parse_fault(part.strip()) for part in spec.split(";") if part.strip())


def _parse_fault(part: str) -> Fault:
    kind, _, options = part.partition(":")
    members: dict[str, str] = {"kind": kind.strip()}
    for option in filter(None, options.split(",")):
        name, equals, value = option.partition("=")
        if not equals:
            raise ConfigurationError(f"--faults: {option!r} is not NAME=VALUE")
        members[name.strip()] = value.strip()
    try:
        return fault_of(members, is_text=True)
    except ConfigurationError as error:
        raise ConfigurationError(f"--faults: {part!r}: {error.message}") from error


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names)
