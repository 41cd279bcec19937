"""A decision with everything that shows what exactly happened: inputs, arithmetic, requests, answers, its place."""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.adapters.lnmarkets.requests import command_request
from axisor.domain.units import ExchangeAccountId, Price, usd_number
from axisor.features.execution.repository import load_command
from axisor.infra.wire import Instant, instant, optional_instant

_API_VERSION: Final = "/v3"
_SHOWN_FACTS: Final = ("trigger_price", "full_room", "spending", "seconds_to_liquidation")
_SHOWN_OF_TRADE: Final = (
    "side",
    "quantity_usd",
    "margin_sats",
    "price",
    "entry_price",
    "entry_margin_sats",
    "liquidation_price",
    "stop_loss_price",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArithmeticView:
    name: str
    formula: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRequestView:
    """What left for the exchange; the signature's headers are never kept."""

    method: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerView:
    status: int | None
    body_excerpt: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    attempt_no: int
    state: str
    amount_sats: int | None
    tag: int | None
    is_second_send: bool
    signed_at: Instant
    sent_at: Instant | None
    answered_at: Instant | None
    settled_at: Instant | None
    outcome: str | None
    request: SentRequestView
    answer: AnswerView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """One decision of the ledger; the hashes are null until it has been sealed."""

    decision_id: str
    exchange_account_id: str
    trade_id: str
    at: Instant
    action: str
    reason: str
    inputs: dict[str, Any]
    arithmetic: tuple[ArithmeticView, ...]
    rule_version: int | None
    code_version: str
    attempts: tuple[AttemptView, ...]
    seq: int | None
    hash: str | None
    previous_hash: str | None


async def read_decision(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, decision_id: str
) -> DecisionView | None:
    """Return a decision with its attempts, None where the connection's user has no such one."""
    keys = {"account": exchange_account_id, "decision": decision_id}
    rows = await connection.execute(
        text(
            "select d.*, h.hash, h.previous_hash from decision d left join ledger_head h "
            "on h.exchange_account_id = d.exchange_account_id and h.seq = d.seq "
            "where d.exchange_account_id = :account and d.decision_id = :decision"
        ),
        keys,
    )
    decision = rows.mappings().one_or_none()
    if decision is None:
        return None
    attempts = await connection.execute(
        text(
            "select a.* from intent i join attempt a using (exchange_account_id, intent_id) "
            "where i.exchange_account_id = :account and i.decision_id = :decision order by a.signed_at, a.attempt_no"
        ),
        keys,
    )
    return DecisionView(
        decision_id=decision_id,
        exchange_account_id=exchange_account_id,
        trade_id=str(decision["position_id"]),
        at=instant(decision["at"]),
        action=decision["action"],
        reason=decision["reason"],
        inputs=inputs_view(decision["inputs"]),
        arithmetic=tuple(
            ArithmeticView(
                name=str(step.get("name", "")),
                formula=str(step.get("formula", "")),
                value=_arithmetic_value(str(step.get("name", "")), str(step.get("value", ""))),
            )
            for step in decision["arithmetic"]
        ),
        rule_version=decision["rule_version"],
        code_version=decision["code_version"],
        attempts=tuple(_attempt(row) for row in attempts.mappings()),
        seq=decision["seq"],
        hash=_hex(decision["hash"]),
        previous_hash=_hex(decision["previous_hash"]),
    )


def inputs_view(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what a decision was made from as the wire has it: prices in USD per BTC.

    The rule and the decision itself are left to `arithmetic` and the rule's own version.
    """
    facts = stored.get("facts")
    if not isinstance(facts, dict):
        shown = stored
    else:
        kept = {name: facts[name] for name in _SHOWN_FACTS if name in facts}
        shown = kept | {
            "trade": {name: facts["trade"].get(name) for name in _SHOWN_OF_TRADE},
            "steps": {key: [state["arming_no"], state["is_armed"]] for key, state in facts["rungs"].items()},
            "pending": [[each["amount_sats"], each["is_unknown"]] for each in facts["pending"]],
            **stored.get("seen", {}),
            "outcome": stored.get("outcome", {}),
        }
    view: dict[str, Any] = _in_usd(shown)
    return view


def _in_usd(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _in_usd(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_in_usd(each) for each in value]
    if isinstance(value, int) and (name == "price" or name.endswith("_price")):
        return usd_number(Price(value))
    return value


def _arithmetic_value(name: str, value: str) -> str:
    """Return a value of the arithmetic as the wire has it; a price is kept as a whole number of half-dollars."""
    return f"{usd_number(Price(int(value))):.1f}" if name.endswith("_price") else value


def _attempt(row: Any) -> AttemptView:
    method, path, body = command_request(load_command(row["arguments"]))
    answer = row["answer"]
    return AttemptView(
        attempt_no=row["attempt_no"],
        state=row["state"],
        amount_sats=row["amount_sats"],
        tag=row["tag"],
        is_second_send=row["is_second_send"],
        signed_at=instant(row["signed_at"]),
        sent_at=optional_instant(row["sent_at"]),
        answered_at=optional_instant(row["answered_at"]),
        settled_at=optional_instant(row["settled_at"]),
        outcome=row["reason"],
        request=SentRequestView(method=method, path=_API_VERSION + path, body=msgspec.json.decode(body)),
        answer=None if answer is None else AnswerView(status=answer.get("status"), body_excerpt=_in_usd(answer)),
    )


def _hex(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).hex()
