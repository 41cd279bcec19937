"""The decision ledger: every decision with its inputs and arithmetic, sealed into one hash chain per account.

An entry is a decision, with the request that left for it, or what became of that request (`OUTCOME`): the answer, and
the effect with the reading that showed it. Rows are inserted with their cause and sealed afterwards, in the order of
their instants, by one sealer at a time: `hash = SHA-256(previous hash, and the text of every column with its length)`.
The application's roles may insert and read; nobody updates an entry but the sealer, and that only its place in the
chain. `ledger_tip` knows where each chain ends, so that a removed end is seen as well.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.execution.attempts import Attempt
from axisor.infra.code_version import code_version

GENESIS: Final = b"\0" * 32
SEAL_BATCH: Final = 500
VERIFY_BATCH: Final = 2_000
OUTCOME: Final = "outcome"
"""The action of an entry that tells what became of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision. `inputs` hold everything the decision depended on; all values are JSON."""

    exchange_account_id: ExchangeAccountId
    decision_id: str
    trade_id: TradeId
    at: datetime
    action: str
    reason: str
    inputs: dict[str, Any]
    arithmetic: list[dict[str, str]]
    rule_id: str | None
    rule_version: int | None
    code_version: str


INSERT_DECISION: Final = text(
    """
    insert into decision (exchange_account_id, at, decision_id, position_id, action, reason, inputs, arithmetic,
                          rule_id, rule_version, code_version)
    values (:exchange_account_id, :at, :decision_id, :trade_id, :action, :reason, cast(:inputs as jsonb),
            cast(:arithmetic as jsonb), :rule_id, :rule_version, :code_version)
    on conflict do nothing
    """
)


def decision_values(record: DecisionRecord) -> dict[str, Any]:
    """Return the bind values of `INSERT_DECISION`."""
    return {
        "exchange_account_id": record.exchange_account_id,
        "at": record.at,
        "decision_id": record.decision_id,
        "trade_id": record.trade_id,
        "action": record.action,
        "reason": record.reason,
        "inputs": msgspec.json.encode(record.inputs).decode(),
        "arithmetic": msgspec.json.encode(record.arithmetic).decode(),
        "rule_id": record.rule_id,
        "rule_version": record.rule_version,
        "code_version": record.code_version,
    }


_ENTRY: Final = """
    d.exchange_account_id, d.at, d.decision_id, d.position_id, d.action, d.reason, d.inputs::text as inputs,
    d.arithmetic::text as arithmetic, d.rule_id, d.rule_version, d.code_version, d.seq
"""
_COLUMNS: Final = (
    "exchange_account_id",
    "seq",
    "at",
    "decision_id",
    "position_id",
    "action",
    "reason",
    "inputs",
    "arithmetic",
    "rule_id",
    "rule_version",
    "code_version",
)


def outcome_record(attempt: Attempt, answer: dict[str, Any] | None, shown: dict[str, Any]) -> DecisionRecord:
    """Return the entry of an attempt's new state: its answer, and the facts that prove it with their source.

    The same state of the same attempt is the same entry, whoever writes it and how often.
    """
    at = attempt.settled_at or attempt.answered_at or attempt.signed_at
    return DecisionRecord(
        exchange_account_id=attempt.exchange_account_id,
        decision_id=outcome_id(attempt.intent_id, attempt.attempt_no, attempt.state),
        trade_id=attempt.trade_id,
        at=at,
        action=OUTCOME,
        reason=attempt.state.value,
        inputs={
            "decision_id": attempt.decision_id,
            "intent_id": attempt.intent_id,
            "attempt_no": attempt.attempt_no,
            "amount_sats": attempt.amount_sats,
            "why": attempt.reason,
            "sent_at": None if attempt.sent_at is None else attempt.sent_at.isoformat(),
            "answered_at": None if attempt.answered_at is None else attempt.answered_at.isoformat(),
            "answer": answer,
            "shown": shown,
        },
        arithmetic=[],
        rule_id=None,
        rule_version=None,
        code_version=code_version(),
    )


def outcome_id(intent_id: str, attempt_no: int, state: str) -> str:
    """Return the id of the entry of an attempt's state."""
    return str(uuid5(UUID(intent_id), f"{attempt_no}:{state}"))


def chain_hash(previous_hash: bytes, row: RowMapping, *, seq: int, sealed_at: datetime) -> bytes:
    """Return the hash of an entry after its predecessor.

    JSON columns are taken in the text that PostgreSQL states of them, every value with its length before it: no two
    different rows have the same bytes, and any flipped byte of any column changes the hash.
    """
    digest = hashlib.sha256(previous_hash)
    digest.update(_field(sealed_at))
    for name in _COLUMNS:
        digest.update(_field(seq if name == "seq" else row[name]))
    return digest.digest()


def _field(value: object) -> bytes:
    if value is None:
        return b"-"
    body = _utc(value) if isinstance(value, datetime) else str(value)
    encoded = body.encode()
    return b"%d:%b" % (len(encoded), encoded)


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


_UNSEALED: Final = text(
    f"select {_ENTRY} from decision d where d.exchange_account_id = :account and d.seq is null "  # noqa: S608 - a constant
    "order by d.at, d.decision_id limit :batch"
)
_INSERT_HEADS: Final = text(
    "insert into ledger_head (exchange_account_id, seq, decision_id, previous_hash, hash, sealed_at) "
    "values (:account, :seq, :decision, :previous, :hash, :at)"
)
_PLACE: Final = text(
    "update decision set seq = :seq where exchange_account_id = :account and at = :decided_at "
    "and decision_id = :decision"
)
_SET_TIP: Final = text(
    "insert into ledger_tip (exchange_account_id, seq, hash) values (:account, :seq, :hash) "
    "on conflict (exchange_account_id) do update set seq = excluded.seq, hash = excluded.hash"
)


async def seal(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, at: datetime) -> int:
    """Append the unsealed entries of an account to its chain; return how many.

    One sealer per account at a time: the account's chain is guarded by an advisory lock of this transaction. The end
    of the chain is where `ledger_tip` says: a chain whose end was removed is not mended by going on.
    """
    account = {"account": exchange_account_id}
    await connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:account, 0))"), {"account": f"seal:{exchange_account_id}"}
    )
    tip = (
        await connection.execute(text("select seq, hash from ledger_tip where exchange_account_id = :account"), account)
    ).one_or_none()
    seq, previous_hash = (0, GENESIS) if tip is None else (tip.seq, bytes(tip.hash))
    rows = (await connection.execute(_UNSEALED, account | {"batch": SEAL_BATCH})).mappings().all()
    links: list[dict[str, Any]] = []
    for row in rows:
        seq += 1
        digest = chain_hash(previous_hash, row, seq=seq, sealed_at=at)
        links.append(
            account
            | {"seq": seq, "decision": row["decision_id"], "decided_at": row["at"]}
            | {"previous": previous_hash, "hash": digest, "at": at}
        )
        previous_hash = digest
    if links:
        await connection.execute(_INSERT_HEADS, links)
        await connection.execute(_PLACE, links)
        await connection.execute(_SET_TIP, account | {"seq": seq, "hash": previous_hash})
    return len(links)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerVerdict:
    """What a walk along one account's chain found. `broken_seq` is the first place that does not hold, or None."""

    exchange_account_id: ExchangeAccountId
    entries: int
    head: bytes
    broken_seq: int | None = None
    decision_id: str | None = None
    problem: str | None = None
    unsealed: int = 0


class _Broken(Exception):
    def __init__(self, seq: int, problem: str, decision_id: object = None) -> None:
        super().__init__(problem)
        self.seq = seq
        self.problem = problem
        self.decision_id = None if decision_id is None else str(decision_id)


_LINKS: Final = text(
    f"select h.seq as head_seq, h.decision_id as head_decision_id, h.previous_hash, h.hash, h.sealed_at, {_ENTRY} "  # noqa: S608 - a constant
    "from ledger_head h left join decision d on d.exchange_account_id = h.exchange_account_id and d.seq = h.seq "
    "where h.exchange_account_id = :account and h.seq > :after and h.seq <= :until order by h.seq"
)
_ENDS: Final = text(
    """
    select (select seq from ledger_tip where exchange_account_id = :account) as tip_seq,
        (select hash from ledger_tip where exchange_account_id = :account) as tip_hash,
        (select max(seq) from ledger_head where exchange_account_id = :account) as last_seq,
        (select count(*) from ledger_head where exchange_account_id = :account) as heads,
        (select count(*) from decision where exchange_account_id = :account and seq is not null) as sealed,
        (select count(*) from decision where exchange_account_id = :account and seq is null) as unsealed
    """
)
_STRAY: Final = text(
    "select d.seq, d.decision_id from decision d left join ledger_head h using (exchange_account_id, seq) "
    "where d.exchange_account_id = :account and d.seq is not null and h.decision_id is distinct from d.decision_id "
    "order by d.seq limit 1"
)
_MISSING_CAUSE: Final = text(
    "select i.decision_id from intent i where i.exchange_account_id = :account and i.decision_id is not null "
    "and not exists (select from decision d where d.exchange_account_id = i.exchange_account_id "
    "and d.decision_id = i.decision_id) order by i.created_at limit 1"
)


async def list_ledgers(connection: AsyncConnection) -> Sequence[ExchangeAccountId]:
    """Return every account that has, had or may have a ledger; one that only its rows still name is among them."""
    rows = await connection.execute(
        text(
            "select exchange_account_id from exchange_account union select exchange_account_id from decision "
            "union select exchange_account_id from ledger_head "
            "union select exchange_account_id from ledger_tip order by 1"
        )
    )
    return [ExchangeAccountId(str(row.exchange_account_id)) for row in rows]


async def verify(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> LedgerVerdict:
    """Return whether every entry of an account is what was sealed, where it was sealed, up to the known end.

    Entries that are not sealed yet are counted and not vouched for. Read in one snapshot: give a connection whose
    transaction is `repeatable read` where the ledger grows meanwhile.
    """
    ends = (await connection.execute(_ENDS, {"account": exchange_account_id})).one()
    walk = _Walk()
    broken = None
    try:
        await _walk(connection, exchange_account_id, ends, walk)
    except _Broken as error:
        broken = error
    return LedgerVerdict(
        exchange_account_id=exchange_account_id,
        entries=walk.entries,
        head=walk.head,
        broken_seq=None if broken is None else broken.seq,
        decision_id=None if broken is None else broken.decision_id,
        problem=None if broken is None else broken.problem,
        unsealed=ends.unsealed,
    )


@dataclass(slots=True)
class _Walk:
    """How far along the chain everything holds."""

    entries: int = 0
    head: bytes = GENESIS


async def _walk(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, ends: Any, walk: _Walk) -> None:
    """Go along the chain to its end.

    Raises:
        _Broken: something does not hold; `walk` stands before it.
    """
    account = {"account": exchange_account_id}
    last_seq = max(ends.tip_seq or 0, ends.last_seq or 0)
    for after in range(0, last_seq, VERIFY_BATCH):
        until = min(after + VERIFY_BATCH, last_seq)
        links = (await connection.execute(_LINKS, account | {"after": after, "until": until})).mappings()
        for link in links:
            walk.head = _next_hash(link, walk.entries + 1, walk.head)
            walk.entries += 1
        if walk.entries < until:
            raise _Broken(walk.entries + 1, "its link is missing")
    if ends.heads != walk.entries:
        raise _Broken(0, "a link stands before the first")
    if ends.tip_seq is not None or walk.entries:
        _check_tip(ends, walk)
    if ends.sealed != walk.entries:
        stray = (await connection.execute(_STRAY, account)).one_or_none()
        if stray is not None:
            raise _Broken(stray.seq, "an entry that was never sealed at this place", stray.decision_id)
        raise _Broken(walk.entries + 1, "more entries than links")
    lost = await connection.scalar(_MISSING_CAUSE, account)
    if lost is not None:
        raise _Broken(walk.entries + 1, "a request was sent for a decision that is not in the ledger", lost)


def _next_hash(link: RowMapping, expected: int, previous_hash: bytes) -> bytes:
    """Return the hash of a link that holds.

    Raises:
        _Broken: it does not.
    """
    entry = link["head_decision_id"]
    if link["head_seq"] != expected:
        raise _Broken(expected, "its link is missing" if link["head_seq"] > expected else "two entries at one place")
    if link["decision_id"] is None:
        raise _Broken(expected, "its entry is missing", entry)
    if link["decision_id"] != entry:
        raise _Broken(expected, "another entry stands in its place", link["decision_id"])
    if bytes(link["previous_hash"]) != previous_hash:
        raise _Broken(expected, "it does not follow the entry before it", entry)
    stated = bytes(link["hash"])
    if chain_hash(previous_hash, link, seq=expected, sealed_at=link["sealed_at"]) != stated:
        raise _Broken(expected, "it was changed after it was sealed", entry)
    return stated


def _check_tip(ends: Any, walk: _Walk) -> None:
    if ends.tip_seq is None:
        raise _Broken(walk.entries, "the end of the chain is not known any more")
    if ends.tip_seq != walk.entries or bytes(ends.tip_hash) != walk.head:
        raise _Broken(max(walk.entries, 1), "the chain does not end where it was sealed last")
