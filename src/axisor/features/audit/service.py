"""An append-only record per person; each entry carries the hash of the one before it.

`hash = SHA-256(previous hash || canonical JSON of the entry)`. Whoever alters, removes or inserts an entry breaks the
chain from there on. Removing the newest entries leaves a shorter whole chain: compare with a head kept elsewhere.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import AxisorError
from axisor.domain.units import UserId

GENESIS: Final = b"\0" * 32
_LARGEST_EXACT: Final = 2**53
_INSERT: Final = text(
    "insert into audit_event (user_id, seq, at, actor, action, data, previous_hash, hash) "
    "values (:user_id, :seq, :at, :actor, :action, :data, :previous_hash, :hash)"
).bindparams(bindparam("data", type_=JSONB))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Who (`actor`) did what (`action`), with `data` of JSON without fractions: amounts are sats."""

    user_id: UserId
    seq: int
    at: datetime
    actor: str
    action: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """`broken_seq` is the first entry that does not fit its predecessor; None where the chain is whole."""

    entries: int
    head: bytes
    broken_seq: int | None


def entry_hash(previous_hash: bytes, entry: AuditEntry) -> bytes:
    """Return the hash of an entry after its predecessor's.

    Raises:
        AxisorError: `data` holds what does not come back from the database as it went in.
    """
    _check_exact(entry.data)
    body = msgspec.json.encode(
        {
            "user_id": entry.user_id,
            "seq": entry.seq,
            "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": entry.actor,
            "action": entry.action,
            "data": entry.data,
        },
        order="deterministic",
    )
    return hashlib.sha256(previous_hash + body).digest()


async def append(
    connection: AsyncConnection,
    *,
    user_id: UserId,
    actor: str,
    action: str,
    data: Mapping[str, Any],
    at: datetime,
) -> int:
    """Add an entry in the caller's transaction and return its number in the person's chain.

    Entries of one person wait for each other; those of others do not.
    """
    await connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"audit:{user_id}"}
    )
    head = (
        await connection.execute(
            text("select seq, hash from audit_event where user_id = :user order by seq desc limit 1"),
            {"user": user_id},
        )
    ).one_or_none()
    seq, previous_hash = (1, GENESIS) if head is None else (head.seq + 1, bytes(head.hash))
    entry = AuditEntry(user_id=user_id, seq=seq, at=at, actor=actor, action=action, data=data)
    await connection.execute(
        _INSERT,
        {
            "user_id": user_id,
            "seq": seq,
            "at": at,
            "actor": actor,
            "action": action,
            "data": dict(data),
            "previous_hash": previous_hash,
            "hash": entry_hash(previous_hash, entry),
        },
    )
    return seq


async def verify(connection: AsyncConnection, user_id: UserId) -> AuditVerdict:
    """Return whether a person's chain is whole."""
    rows = await connection.execute(
        text(
            "select user_id, seq, at, actor, action, data, previous_hash, hash from audit_event "
            "where user_id = :user order by seq"
        ),
        {"user": user_id},
    )
    previous_hash, count = GENESIS, 0
    for row in rows.mappings():
        entry = AuditEntry(
            user_id=UserId(str(row["user_id"])),
            seq=row["seq"],
            at=row["at"],
            actor=row["actor"],
            action=row["action"],
            data=row["data"],
        )
        if not _fits(entry, count + 1, previous_hash, bytes(row["previous_hash"]), bytes(row["hash"])):
            return AuditVerdict(entries=count, head=previous_hash, broken_seq=count + 1)
        previous_hash, count = bytes(row["hash"]), count + 1
    return AuditVerdict(entries=count, head=previous_hash, broken_seq=None)


def _fits(entry: AuditEntry, expected_seq: int, previous_hash: bytes, stated_previous: bytes, stated: bytes) -> bool:
    if entry.seq != expected_seq or stated_previous != previous_hash:
        return False
    try:
        return entry_hash(previous_hash, entry) == stated
    except AxisorError:
        return False


def _check_exact(value: Any) -> None:
    match value:
        case None | bool():
            return
        case int() if abs(value) <= _LARGEST_EXACT:
            return
        case str() if "\0" not in value:
            return
        case Mapping():
            for key, each in value.items():
                _check_exact(str(key))
                _check_exact(each)
        case list() | tuple():
            for each in value:
                _check_exact(each)
        case _:
            raise AxisorError(f"an audit entry holds no {type(value).__name__}")
