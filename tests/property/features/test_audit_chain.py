from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor.domain.errors import AxisorError
from axisor.domain.units import UserId
from axisor.features.audit.service import GENESIS, AuditEntry, entry_hash

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.builds(
    AuditEntry,
    user_id=st.uuids().map(lambda each: UserId(str(each))),
    seq=st.integers(1, 2**40),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive by contract
    actor=WORDS,
    action=WORDS,
    data=st.dictionaries(WORDS, VALUES, max_size=4),
)


@given(ENTRIES, ENTRIES)
def test_different_entries_have_different_hashes(first: AuditEntry, second: AuditEntry) -> None:
    if first != second:
        assert entry_hash(GENESIS, first) != entry_hash(GENESIS, second)


@given(ENTRIES, st.sampled_from(["seq", "actor", "action", "data"]))
def test_a_change_of_any_part_changes_the_hash(entry: AuditEntry, part: str) -> None:
    changed: dict[str, Any] = {
        "seq": entry.seq + 1,
        "actor": entry.actor + "x",
        "action": entry.action + "x",
        "data": {**entry.data, "and": {"more": 1}},
    }
    if changed[part] != getattr(entry, part):
        assert entry_hash(GENESIS, replace(entry, **{part: changed[part]})) != entry_hash(GENESIS, entry)


@given(ENTRIES, st.binary(min_size=32, max_size=32), st.integers(0, 255))
def test_a_flipped_bit_of_the_predecessor_changes_the_hash(entry: AuditEntry, previous: bytes, bit: int) -> None:
    flipped = bytearray(previous)
    flipped[bit // 8] ^= 1 << (bit % 8)
    assert entry_hash(bytes(flipped), entry) != entry_hash(previous, entry)


@given(ENTRIES, st.sampled_from([0.5, float("nan"), 2**60, b"bytes", "nul\0", datetime(2026, 1, 1, tzinfo=UTC)]))
def test_what_a_database_would_change_is_refused(entry: AuditEntry, value: object) -> None:
    with pytest.raises(AxisorError):
        entry_hash(GENESIS, replace(entry, data={"deep": [{"value": value}]}))
