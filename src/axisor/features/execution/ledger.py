"""The decision ledger: every decision with its inputs and arithmetic, sealed into one hash chain per account.

Rows are inserted with their cause and sealed afterwards, in the order of their ids, by one sealer at a time:
`hash = SHA-256(previous_hash || canonical JSON of the row)`. The application's roles may insert and read; nobody
updates a decision but the sealer, and that only its place in the chain.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, TradeId

GENESIS: Final = b"\0" * 32
SEAL_BATCH: Final = 500


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


def chain_hash(previous_hash: bytes, row: dict[str, Any]) -> bytes:
    """Return the hash of a decision row after its predecessor.

    The row is taken as PostgreSQL returns it, in canonical JSON (sorted keys, no spaces, times in ISO-8601 UTC), so
    that any flipped byte of any column changes the hash.
    """
    body = msgspec.json.encode(
        {
            "exchange_account_id": str(row["exchange_account_id"]),
            "at": row["at"].isoformat(),
            "decision_id": str(row["decision_id"]),
            "position_id": str(row["position_id"]),
            "action": row["action"],
            "reason": row["reason"],
            "inputs": row["inputs"],
            "arithmetic": row["arithmetic"],
            "rule_id": None if row["rule_id"] is None else str(row["rule_id"]),
            "rule_version": row["rule_version"],
            "code_version": row["code_version"],
        },
        order="deterministic",
    )
    return hashlib.sha256(previous_hash + body).digest()


async def seal(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, at: datetime) -> int:
    """Append the unsealed decisions of an account to its chain; return how many.

    One sealer per account at a time: the account's head is guarded by an advisory lock of this transaction.
    """
    await connection.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:account, 0))"), {"account": f"seal:{exchange_account_id}"}
    )
    head = (
        await connection.execute(
            text("select seq, hash from ledger_head where exchange_account_id = :account order by seq desc limit 1"),
            {"account": exchange_account_id},
        )
    ).one_or_none()
    seq, previous_hash = (0, GENESIS) if head is None else (head.seq, bytes(head.hash))
    rows = (
        await connection.execute(
            text(
                "select * from decision where exchange_account_id = :account and seq is null "
                "order by at, decision_id limit :batch"
            ),
            {"account": exchange_account_id, "batch": SEAL_BATCH},
        )
    ).mappings()
    sealed = 0
    for row in rows:
        seq += 1
        digest = chain_hash(previous_hash, dict(row))
        await connection.execute(
            text(
                "insert into ledger_head (exchange_account_id, seq, decision_id, previous_hash, hash, sealed_at) "
                "values (:account, :seq, :decision, :previous, :hash, :at)"
            ),
            {
                "account": exchange_account_id,
                "seq": seq,
                "decision": row["decision_id"],
                "previous": previous_hash,
                "hash": digest,
                "at": at,
            },
        )
        await connection.execute(
            text(
                "update decision set seq = :seq where exchange_account_id = :account and at = :at "
                "and decision_id = :decision"
            ),
            {"seq": seq, "account": exchange_account_id, "at": row["at"], "decision": row["decision_id"]},
        )
        previous_hash = digest
        sealed += 1
    return sealed


async def verify(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> int | None:
    """Return the number of the first link that does not hold, or None where the whole chain does."""
    links = (
        await connection.execute(
            text(
                "select h.seq as head_seq, h.previous_hash, h.hash, d.* from ledger_head h left join decision d "
                "on d.exchange_account_id = h.exchange_account_id and d.decision_id = h.decision_id and d.seq = h.seq "
                "where h.exchange_account_id = :account order by h.seq"
            ),
            {"account": exchange_account_id},
        )
    ).mappings()
    previous_hash, expected = GENESIS, 1
    for link in links:
        is_whole = (
            link["head_seq"] == expected
            and link["decision_id"] is not None
            and bytes(link["previous_hash"]) == previous_hash
            and chain_hash(previous_hash, dict(link)) == bytes(link["hash"])
        )
        if not is_whole:
            return expected
        previous_hash, expected = bytes(link["hash"]), expected + 1
    return None
