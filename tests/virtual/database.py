"""The database of the simulated installation: the statements of the guard on tables in memory, in real transactions.

Whatever the product executes reaches it as SQLAlchemy's statement and its arguments. A statement that reads or that
the guard's safety rests on has a handler here, found by what stands in its text; other writes go to tables that the
simulation never reads. `test_database.py` runs the same sequences here and on PostgreSQL and compares every answer.

Writers take turns (the guard's writes for one account conflict on the same few rows), readers see what is committed. A
killed client's transaction is rolled back, a frozen one keeps its turn.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy.exc import IntegrityError
from tests.virtual.faults import FaultKind, Plan, Step
from tests.virtual.world import Process, World

type Arguments = dict[str, Any]

ROUND_TRIP_S: Final = 0.0008
COMMIT_S: Final = 0.002
SLOW_COMMIT_S: Final = 1.5
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Row(dict[str, Any]):
    """One row, read by name either way."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Result:
    """The answer to a statement."""

    def __init__(self, rows: list[Row] | None = None, *, rowcount: int = -1) -> None:
        self._rows = rows or []
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def mappings(self) -> "Result":
        return self

    def first(self) -> Row | None:
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Row | None:
        return self.first()


class _Duplicate(Exception):
    sqlstate = "23505"


def _duplicate(key: str) -> IntegrityError:
    return IntegrityError("insert", {}, _Duplicate(f"duplicate key value violates unique constraint {key}"))


class Tables:
    """The rows, and what undoes the writes of the transaction under way."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Row]] = {}
        self._undo: list[Callable[[], None]] = []

    def of(self, table: str) -> dict[Any, Row]:
        return self.rows.setdefault(table, {})

    def put(self, table: str, key: Any, row: Row) -> None:
        rows, before = self.of(table), self.of(table).get(key)
        rows[key] = row
        self._undo.append(lambda: rows.pop(key) if before is None else rows.__setitem__(key, before))

    def change(self, table: str, key: Any, **members: Any) -> None:
        self.put(table, key, Row(self.of(table)[key], **members))

    def roll_back(self) -> None:
        while self._undo:
            self._undo.pop()()

    def keep(self) -> None:
        self._undo.clear()


class Handlers:
    """What each statement does to the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.unknown: list[str] = []
        self._found: dict[str, tuple[Callable[[Arguments], Result], bool]] = {}
        self.table: list[tuple[tuple[str, ...], Callable[[Arguments], Result]]] = [
            (("select write_attempt(",), self.write_attempt),
            (("update attempt set state",), self.update_attempt),
            (("insert into attempt_step",), self.insert_step),
            (("update budget_reservation set",), self.update_reservation),
            (("select 1 from attempt where",), self.find_attempt),
            (("from budget_reservation r", "y.position_id from budget_reservation y"), self.list_reservations),
            (("from budget_reservation r", "r.position_id = any"), self.list_trade_reservations),
            (("from intent i join position p",), self.list_intents),
            (("from position p join intent i",), lambda _: Result([])),
            (("select * from cross_position",), lambda _: Result([])),
            (("select * from fund_invoice where",), lambda _: Result([])),
            (("select intent_id from intent where", "cause_kind"), lambda _: Result([])),
            (("select a.*, i.cause_kind", "from attempt a join intent i"), self.list_attempts),
            (("select distinct on (position_id) position_id, tag from attempt",), self.last_tags),
            (("select scope_id from spending_stop",), self.stopped_scopes),
            (("insert into position",), self.save_facts),
            (("update position set close_reason",), self.set_close_reason),
            (("select * from position where", "status = any"), self.list_positions),
            (("select * from position where", "position_id = :trade"), self.find_position),
            (("select p.* from position p join exchange_account",), self.list_untold_ends),
            (("from rule r join rule_version v",), self.list_rules),
            (("from trade_guard g where",), self.list_guarded),
            (("insert into trade_guard",), self.insert_guarded),
            (("from new_trade_preset where",), lambda _: Result([])),
            (("from rung_state where",), self.list_rung_states),
            (("insert into rung_state",), self.save_rung_state),
            (("select * from command_request where",), lambda _: Result([])),
            (("update command_request set",), lambda _: Result(rowcount=0)),
            (("from exchange_account a join exchange_credential c",), self.list_accounts),
            (("update exchange_account set balance_sats",), lambda _: Result(rowcount=1)),
            (("insert into decision ",), lambda values: self.insert_apart("decision", values["decision_id"], values)),
            (
                ("insert into notification ",),
                lambda values: self.insert_apart("notification", values["notification_id"], values),
            ),
            (("insert into incident ",), lambda values: self.insert_apart("incident", values["incident"], values)),
            (("insert into outbox ",), lambda _: Result(rowcount=1)),
        ]

    def of(self, sql: str) -> tuple[Callable[[Arguments], Result], bool]:
        """Return what a statement does, and whether it writes."""
        if (found := self._found.get(sql)) is None:
            plain = " ".join(sql.split())
            handle = next((handle for parts, handle in self.table if all(part in plain for part in parts)), None)
            is_write = not plain.startswith("select") or plain.startswith("select write_attempt(")
            if handle is None and not plain.startswith(("insert", "update")):
                self.unknown.append(f"the simulated database does not know: {plain}")
                raise NotImplementedError(self.unknown[-1])
            found = self._found[sql] = (handle or (lambda _: Result(rowcount=1)), is_write)
        return found

    # Attempts

    def write_attempt(self, values: Arguments) -> Result:
        account = values["account"]
        if not values["from_spool"]:
            present = self._tables.of("guard_fence").get(account)
            if present is not None and present.fence > values["fence"]:
                return Result([Row(outcome="newer_owner")])
            self._tables.put("guard_fence", account, Row(fence=values["fence"]))
            stops = self._tables.of("spending_stop")
            is_stopped = any((account, scope) in stops for scope in (account, values["trade"]))
            if values["is_spent_by_rule"] and is_stopped:
                return Result([Row(outcome="stopped")])
        self.insert_attempt(values)
        if values["decided_at"] is not None:
            decided = {name: values[f"decided_{name}"] for name in ("at", "action", "reason", "inputs", "arithmetic")}
            named = {"rule_id": "rule", "rule_version": "rule_version", "code_version": "code_version"}
            decided |= {name: values[f"decided_{given}"] for name, given in named.items()}
            decided |= {"trade_id": values["decided_trade"], "exchange_account_id": account}
            self.insert_apart("decision", values["decision"], decided | {"decision_id": values["decision"]})
        return Result([Row(outcome="written")])

    def insert_attempt(self, values: Arguments) -> None:
        tables, account = self._tables, values["account"]
        intent_key = (account, values["intent"])
        key = (*intent_key, values["attempt_no"])
        cause = (account, values["trade"], values["cause_kind"], values["cause_id"], values["cause_key"])
        if intent_key not in tables.of("intent"):
            if cause in tables.of("intent_cause"):
                raise _duplicate("intent_cause")
            intent = {"intent_id": values["intent"], "exchange_account_id": account, "position_id": values["trade"]}
            named = {name: values[name] for name in ("command", "cause_kind", "cause_id", "cause_key")}
            tables.put("intent", intent_key, Row(intent, **named, decision_id=values["decision"]))
            tables.put("intent_cause", cause, Row(intent))
        is_money_in = values["command_class"] == "money_in"
        open_key = (account, values["trade"], values["is_second_send"])
        if key in tables.of("attempt"):
            raise _duplicate("attempt_pkey")
        if is_money_in and any(
            (row.exchange_account_id, row.position_id, row.is_second_send) == open_key
            and row.command_class == "money_in"
            and row.state in ("sent", "unknown")
            for row in tables.of("attempt").values()
        ):
            raise _duplicate("attempt_one_open_money_in")
        if values["amount"] is not None and (is_money_in or values["command"] == "cash_in"):
            reservation = {
                "exchange_account_id": account,
                "intent_id": values["intent"],
                "attempt_no": values["attempt_no"],
                "position_id": values["trade"],
                "amount_sats": values["amount"],
                "state": "reserved",
                "reserved_at": values["signed_at"],
            }
            tables.put("budget_reservation", key, Row(reservation))
        row = Row(
            exchange_account_id=account,
            intent_id=values["intent"],
            position_id=values["trade"],
            state="sent",
            arguments=msgspec.json.decode(values["arguments"]),
            amount_sats=values["amount"],
            counter_before_sats=values["counter_before"],
            sent_at=None,
            answered_at=None,
            settled_at=None,
            reason=None,
            answer=None,
        )
        named = (
            "attempt_no", "command_class", "tag", "is_second_send", "fence", "signature_ms", "signed_at",
            "quiet_until", "tick_at", "from_spool",
        )  # fmt: skip
        tables.put("attempt", key, Row(row, **{name: values[name] for name in named}))

    def find_attempt(self, values: Arguments) -> Result:
        key = (values["account"], values["intent"], values["attempt_no"])
        return Result([Row(found=1)] if key in self._tables.of("attempt") else [])

    def update_attempt(self, values: Arguments) -> Result:
        key = (values["account"], values["intent"], values["attempt_no"])
        row = self._tables.of("attempt").get(key)
        is_same = row is not None and (row.fence, row.signature_ms) == (values["fence"], values["signature_ms"])
        if row is None or not is_same or row.state not in values["earlier"]:
            return Result(rowcount=0)
        self._tables.change(
            "attempt",
            key,
            state=values["state"],
            reason=values["reason"],
            sent_at=values["sent_at"] or row.sent_at,
            answered_at=values["answered_at"] or row.answered_at,
            settled_at=values["settled_at"],
        )
        return Result(rowcount=1)

    def insert_step(self, values: Arguments) -> Result:
        key = (values["account"], values["intent"], values["attempt_no"], values["state"])
        return self.insert_apart("attempt_step", key, values)

    def update_reservation(self, values: Arguments) -> Result:
        key = (values["account"], values["intent"], values["attempt_no"])
        if key not in self._tables.of("budget_reservation"):
            return Result(rowcount=0)
        self._tables.change("budget_reservation", key, state=values["state"])
        return Result(rowcount=1)

    def _status(self, account: str, position_id: str) -> str | None:
        position = self._tables.of("position").get((account, position_id))
        return None if position is None else str(position.status)

    def list_reservations(self, values: Arguments) -> Result:
        account = values["account"]
        rows = [
            row
            for row in self._tables.of("budget_reservation").values()
            if row.exchange_account_id == account and row.state != "released"
        ]
        counting = {
            row.position_id
            for row in rows
            if row.reserved_at > values["since"]
            or row.state == "reserved"
            or self._status(account, row.position_id) == "running"
        }
        return Result([self._with_refill(row) for row in rows if row.position_id in counting])

    def list_trade_reservations(self, values: Arguments) -> Result:
        return Result(
            [
                self._with_refill(row)
                for row in self._tables.of("budget_reservation").values()
                if row.exchange_account_id == values["account"]
                and row.state != "released"
                and row.position_id in values["trades"]
            ]
        )

    def _with_refill(self, row: Row) -> Row:
        intent = self._tables.of("intent")[row.exchange_account_id, row.intent_id]
        return Row(row, is_refill=intent.command == "cash_in")

    def list_intents(self, values: Arguments) -> Result:
        account, attempts = values["account"], self._tables.of("attempt")
        return Result(
            [
                Row(
                    row,
                    attempts=max((no for owner, intent, no in attempts if intent == row.intent_id), default=0),
                )
                for row in self._tables.of("intent").values()
                if row.exchange_account_id == account
                and row.cause_kind != "backstop"
                and self._status(account, row.position_id) == "running"
            ]
        )

    def list_attempts(self, values: Arguments) -> Result:
        account, intents = values["account"], self._tables.of("intent")
        chosen = [
            Row(row, **{name: value for name, value in intents[account, row.intent_id].items() if name not in row})
            for row in self._tables.of("attempt").values()
            if row.exchange_account_id == account
            and (row.state in ("sent", "unknown") or row.signed_at > values["since"])
        ]
        return Result(sorted(chosen, key=lambda row: row.signed_at))

    def last_tags(self, values: Arguments) -> Result:
        rows = [
            row
            for row in self._tables.of("attempt").values()
            if row.exchange_account_id == values["account"] and row.tag is not None
        ]
        newest: dict[str, Row] = {}
        for row in sorted(rows, key=lambda row: (row.signed_at, row.attempt_no)):
            newest[row.position_id] = Row(position_id=row.position_id, tag=row.tag)
        return Result(list(newest.values()))

    def stopped_scopes(self, values: Arguments) -> Result:
        stops = self._tables.of("spending_stop")
        return Result([Row(scope_id=scope) for account, scope in stops if account == values["account"]])

    # Positions, rules, accounts

    def save_facts(self, values: Arguments) -> Result:
        key = (values["exchange_account_id"], values["position_id"])
        before = self._tables.of("position").get(key)
        row = Row(values)
        if before is not None:
            is_older = before.requested_at > row.requested_at
            has_ended = before.status in ("closed", "canceled") and row.status != before.status
            if is_older or has_ended:
                return Result(rowcount=0)
            for name in ("funding_paid_sats", "close_reason", "own_stop_price"):
                row[name] = before[name] if row[name] is None else row[name]
        self._tables.put("position", key, row)
        return Result(rowcount=1)

    def set_close_reason(self, values: Arguments) -> Result:
        key = (values["account"], values["trade"])
        row = self._tables.of("position").get(key)
        if row is None or row.close_reason not in (None, "unknown"):
            return Result(rowcount=0)
        self._tables.change("position", key, close_reason=values["reason"])
        return Result(rowcount=1)

    def list_positions(self, values: Arguments) -> Result:
        rows = [
            row
            for (account, _), row in self._tables.of("position").items()
            if account == values["account"] and row.status in values["statuses"]
        ]
        return Result(sorted(rows, key=lambda row: (row.created_at, row.position_id)))

    def find_position(self, values: Arguments) -> Result:
        row = self._tables.of("position").get((values["account"], values["trade"]))
        return Result([] if row is None else [row])

    def list_untold_ends(self, values: Arguments) -> Result:
        told = {row.position_id for row in self._tables.of("notification").values() if row.kind == "trade_closed"}
        rows = [
            row
            for (account, trade), row in self._tables.of("position").items()
            if account == values["account"]
            and row.status == "closed"
            and row.closed_at > values["since"]
            and trade not in told
        ]
        return Result(sorted(rows, key=lambda row: row.closed_at))

    def list_rules(self, values: Arguments) -> Result:
        return Result([row for (account, _), row in self._tables.of("rule").items() if account == values["account"]])

    def list_guarded(self, values: Arguments) -> Result:
        return Result(
            [row for (account, _), row in self._tables.of("trade_guard").items() if account == values["account"]]
        )

    def insert_guarded(self, values: Arguments) -> Result:
        key = (values["account"], values["trade"])
        if key in self._tables.of("trade_guard"):
            return Result(rowcount=0)
        self._tables.put("trade_guard", key, Row(position_id=values["trade"], is_guarded=True))
        return Result(rowcount=1)

    def list_rung_states(self, values: Arguments) -> Result:
        rows = self._tables.of("rung_state")
        return Result([row for key, row in rows.items() if key[0] == values["account"]])

    def save_rung_state(self, values: Arguments) -> Result:
        key = (values["account"], values["trade"], values["rung"])
        before = self._tables.of("rung_state").get(key)
        if before is not None and before.arming_no > values["arming_no"]:
            return Result(rowcount=0)
        named = {name: values[name] for name in ("rung", "arming_no", "is_armed")}
        self._tables.put("rung_state", key, Row(named, position_id=values["trade"]))
        return Result(rowcount=1)

    def list_accounts(self, values: Arguments) -> Result:
        rows = self._tables.of("exchange_account").values()
        return Result([row for row in rows if row.network in values["networks"]])

    def insert_apart(self, table: str, key: Any, values: Arguments) -> Result:
        if key in self._tables.of(table):
            return Result(rowcount=0)
        self._tables.put(table, key, Row(values))
        return Result(rowcount=1)


class VirtualDatabase:
    """The server: it outlives every process, and is away when the adversary says so."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.tables = Tables()
        self.handlers = Handlers(self.tables)
        self.is_away = False
        self.writer: Session | None = None
        self.waiting: deque[tuple[Session, asyncio.Future[None]]] = deque()

    def go_away(self, seconds: float) -> None:
        """Refuse everybody for a while; transactions under way are rolled back."""
        self.is_away = True
        if self.writer is not None:
            self.writer.is_broken = True
            self.end_writing(self.writer, commit=False)
        self.world.after(seconds, self._come_back)

    def _come_back(self) -> None:
        self.is_away = False

    def forget(self, process: Process) -> None:
        """Roll back what a killed process left."""
        self.waiting = deque(entry for entry in self.waiting if entry[0].process is not process)
        if self.writer is not None and self.writer.process is process:
            self.end_writing(self.writer, commit=False)

    def end_writing(self, session: "Session", *, commit: bool) -> None:
        if self.writer is not session:
            return
        if commit:
            self.tables.keep()
        else:
            self.tables.roll_back()
        self.writer = None
        while self.waiting:
            following, turn = self.waiting.popleft()
            if not turn.done() and not following.process.is_dead:
                self.writer = following
                turn.set_result(None)
                return

    def rows(self, table: str) -> list[Row]:
        """Return what is committed or about to be."""
        return list(self.tables.of(table).values())


class Session:
    """One transaction of one process: what the product calls a connection."""

    def __init__(self, server: VirtualDatabase, process: Process) -> None:
        self.server = server
        self.process = process
        self.is_broken = False
        self.steps: list[Step] = []
        self._done: list[tuple[Callable[[Arguments], Result], Arguments]] = []

    async def execute(self, statement: Any, values: Arguments | None = None) -> Result:
        """Do what a statement says, a round trip away."""
        await self.process.wait(ROUND_TRIP_S)
        self._check()
        server, arguments = self.server, values or {}
        handle, is_write = server.handlers.of(statement.text)
        if not is_write:
            return self._read(handle, arguments)
        if server.writer is not self:
            await self._take_turn()
            self._check()
        self._note(statement.text, arguments)
        result = handle(arguments)
        self._done.append((handle, arguments))
        return result

    def _read(self, handle: Callable[[Arguments], Result], arguments: Arguments) -> Result:
        server = self.server
        if server.writer in (None, self):
            return handle(arguments)
        other = server.writer
        server.tables.roll_back()  # another's writes are not there until they are committed
        result = handle(arguments)
        for redo, again in other._done:
            redo(again)
        return result

    async def scalar(self, statement: Any, values: Arguments | None = None) -> Any:
        row = (await self.execute(statement, values)).first()
        return None if row is None else next(iter(row.values()))

    async def _take_turn(self) -> None:
        server = self.server
        if server.writer is None:
            server.writer = self
            return
        turn = self.process.loop.create_future()
        server.waiting.append((self, turn))
        await turn

    def _check(self) -> None:
        if self.is_broken or self.server.is_away or self.process.is_dead:
            raise ConnectionResetError("the database is away")

    def _note(self, sql: str, values: Arguments) -> None:
        if "write_attempt(" in sql and values["command"] == "add_margin":
            if not values["from_spool"]:
                self.steps.append(Step.COMMIT)
        elif "update attempt set state" in sql:
            key = (values["account"], values["intent"], values["attempt_no"])
            row = self.server.tables.of("attempt").get(key)
            if row is not None and row.command_class == "money_in" and values["state"] != "unknown":
                self.steps.append(Step.SETTLE)

    async def commit(self) -> None:
        server, process, plan = self.server, self.process, self.server.plan
        for step in self.steps:
            await plan.before(step, process)
        self._check()
        does_fail = plan.takes(FaultKind.FAIL_COMMIT, when=Step.COMMIT in self.steps)
        is_slow = plan.takes(FaultKind.SLOW_COMMIT, when=Step.COMMIT in self.steps)
        if is_slow:
            await process.wait(SLOW_COMMIT_S)
        await process.wait(COMMIT_S / 2)
        self._check()
        if does_fail:
            self.is_broken = True
            server.end_writing(self, commit=False)
            raise ConnectionResetError("the database broke off before it committed")
        server.end_writing(self, commit=True)
        for step in self.steps:
            await plan.after(step, process)
        if Step.COMMIT in self.steps:
            await plan.before(Step.ACK, process)
            if plan.takes(FaultKind.LOSE_ACK):
                self.is_broken = True
                await process.wait(10)  # the acknowledgement never comes
                raise ConnectionResetError("the acknowledgement was lost")
        await process.wait(COMMIT_S / 2)
        if Step.COMMIT in self.steps:
            await plan.after(Step.ACK, process)

    def roll_back(self) -> None:
        if not self.process.is_dead:
            self.server.end_writing(self, commit=False)


class DatabaseLink:
    """The product's `Database`, of one process."""

    def __init__(self, server: VirtualDatabase, process: Process) -> None:
        self._server = server
        self._process = process

    @asynccontextmanager
    async def transaction(self, *, user_id: str | None = None) -> AsyncIterator[Session]:
        session = Session(self._server, self._process)
        if self._server.is_away or self._process.is_dead:
            raise ConnectionRefusedError("the database is away")
        try:
            yield session
            await session.commit()
        except BaseException:
            waiting = self._server.waiting
            self._server.waiting = deque(entry for entry in waiting if entry[0] is not session)
            session.roll_back()
            raise

    async def close(self) -> None:
        return
