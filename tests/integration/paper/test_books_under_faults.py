"""However answers get lost, come late or lie, every effect happens once and no sat is made or lost."""

import json
import os
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from tests.factories.paper_server import Keys, PaperServer, a_paper_server, eventually

REQUESTS: Final = 120
OPENED_WITH: Final = 20_000_000
USER_BOOKS: Final = ("balance", "margin", "reserve", "cross", "withdrawing")
ADDRESS: Final = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "lose_request"},
    {"kind": "lose_answer_after_apply"},
    {"kind": "apply_late_s", "seconds": 0.03},
    {"kind": "delay_before_apply_s", "seconds": 0.01},
    {"kind": "delay_answer_s", "seconds": 0.01},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 502, "with_effect": True, "is_html": True},
    {"kind": "malformed_json"},
    {"kind": "truncated_body"},
    {"kind": "reset_connection"},
    {"kind": "reset_connection", "with_effect": True},
)
LIGHTNING_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "hold"},
    {"kind": "fail"},
    {"kind": "notify_twice"},
)
SENT: Final = "/account/withdrawals/internal"
RECEIVED: Final = "/account/deposits/internal"
LIVE: Final = ("/futures/isolated/trades/open", "/futures/isolated/trades/running")
PAST: Final = ("/futures/isolated/trades/closed", "/futures/isolated/trades/canceled")


class Driver:
    """One client that never knows whether its last request was carried out, and goes on regardless."""

    def __init__(self, server: PaperServer, keys: dict[str, Keys], chance: random.Random) -> None:
        self.server = server
        self.keys = keys
        self.chance = chance
        self.given = 0
        self.lost = 0

    async def walk(self, requests: int) -> None:
        for _ in range(requests):
            if self.chance.random() < 0.4:
                await self.server.control("POST", "/faults", self.chance.choice(FAULTS))
            name = self.chance.choice(sorted(self.keys))
            method, path, body = await self._next_request(name)
            try:
                status, answer = await self.server.call(method, path, self.keys[name], body=body)
            except (aiohttp.ClientError, json.JSONDecodeError):
                self.lost += 1
            else:
                if path == "/account/deposit/lightning" and status == 200:
                    await self._pay(answer["paymentRequest"])
            if self.chance.random() < 0.2:
                await self._move_the_market(name)
        await self.server.control("DELETE", "/faults")
        await eventually(self.nothing_is_late)
        for payment in (await self.server.control("GET", "/lightning"))["held"]:
            await self.server.control("POST", f"/lightning/payments/{payment['payment_hash']}/release", {})

    async def _pay(self, invoice: str) -> None:
        if self.chance.random() < 0.5:
            await self.server.control("POST", "/lightning/faults", self.chance.choice(LIGHTNING_FAULTS))
        await self.server.control("POST", "/lightning/user/payments", {"payment_request": invoice})

    async def _move_the_market(self, name: str) -> None:
        match self.chance.randrange(5):
            case 0:
                amount = self.chance.randint(1, 100_000)
                await self.server.control("POST", f"/accounts/{name}/deposit", {"amount_sats": amount})
                self.given += amount
            case 2:
                for row in (await self.read(name, "/account/withdrawals/on-chain"))["data"]:
                    if row["status"] == "pending":
                        path = f"/accounts/{name}/on-chain-withdrawals/{row['id']}"
                        end, body = self.chance.choice((("complete", {"fee_sats": 0}), ("reject", {})))
                        await self.server.control("POST", f"{path}/{end}", body)
            case 1:
                await self.server.control("POST", "/market/funding", {"rate": self.chance.uniform(-0.003, 0.003)})
            case _:
                await self.server.set_price(62_000 + self.chance.randint(-2_000, 2_000))

    async def _next_request(self, name: str) -> tuple[str, str, dict[str, Any]]:
        chance = self.chance
        live = (await self.server.control("GET", f"/accounts/{name}"))["trades"]
        trade_id = chance.choice(live)["id"] if live else "none"
        side, amount = chance.choice(["buy", "sell"]), chance.randint(1, 200_000)
        is_btc = chance.random() < 0.5
        swap = {"inAmount": amount if is_btc else amount % 100 + 1, "inAsset": "BTC", "outAsset": "USD"}
        if not is_btc:
            swap |= {"inAsset": "USD", "outAsset": "BTC"}
        market_order = {"side": side, "type": "market", "quantity": chance.randint(1, 5_000)}
        limit_order = {**market_order, "type": "limit", "price": 62_000 + chance.randint(-1_500, 1_500)}
        isolated = {"leverage": chance.randint(1, 100)}
        foreign = await self.server.control("POST", "/lightning/user/invoices", {"amount_sats": amount})
        other = chance.choice([user for user in self.keys if user != name])
        choices: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/futures/isolated/trade", {**market_order, **isolated}),
            ("POST", "/futures/isolated/trade", {**limit_order, **isolated}),
            ("POST", "/futures/isolated/trade/add-margin", {"id": trade_id, "amount": amount}),
            ("POST", "/futures/isolated/trade/add-margin", {"id": trade_id, "amount": amount // 10 + 1}),
            ("POST", "/futures/isolated/trade/cash-in", {"id": trade_id, "amount": amount // 10 + 1}),
            ("POST", "/futures/isolated/trade/close", {"id": trade_id}),
            ("POST", "/futures/isolated/trade/cancel", {"id": trade_id}),
            ("POST", "/futures/cross/deposit", {"amount": amount}),
            ("POST", "/futures/cross/withdraw", {"amount": amount}),
            ("PUT", "/futures/cross/leverage", {"leverage": chance.randint(1, 100)}),
            ("POST", "/futures/cross/order", market_order),
            ("POST", "/futures/cross/order", limit_order),
            ("POST", "/futures/cross/position/close", {}),
            ("POST", "/synthetic-usd/swap", swap),
            ("POST", "/account/deposit/lightning", {"amount": amount}),
            ("POST", "/account/withdraw/lightning", {"invoice": foreign["payment_request"]}),
            ("POST", "/account/withdraw/on-chain", {"address": ADDRESS, "amount": amount}),
            ("POST", "/account/withdraw/internal", {"toUsername": other, "amount": amount}),
        ]
        return chance.choice(choices)

    async def read(self, name: str, path: str) -> Any:
        status, data = await self.server.call("GET", path, self.keys[name])
        assert status == 200, data
        return data

    async def holdings(self) -> Counter[str]:
        """Return what all users hold, as their own endpoints say, by book."""
        held: Counter[str] = Counter()
        for name in self.keys:
            account = await self.read(name, "/account")
            held["balance"] += account["balance"]
            held["cents"] += round(account["syntheticUsdBalance"] * 100)
            held["withdrawing"] += (await self.server.control("GET", f"/accounts/{name}"))["withdrawing_sats"]
            held["cross"] += (await self.read(name, "/futures/cross/position"))["margin"]
            for path in LIVE:
                for trade in await self.read(name, path):
                    held["margin"] += trade["margin"]
                    held["reserve"] += trade["maintenanceMargin"]
        return held

    async def flows(self) -> Counter[str]:
        """Return what came in and went out, as the lists of deposits and withdrawals say, in sats."""
        flows: Counter[str] = Counter()
        for name in self.keys:
            for row in (await self.read(name, "/account/deposits/lightning"))["data"]:
                flows["in"] += row["amount"] if row["settledAt"] is not None else 0
            for kind in ("lightning", "on-chain"):
                for row in (await self.read(name, f"/account/withdrawals/{kind}"))["data"]:
                    if row["status"] == "processed":
                        # What the chain's miners take comes out of the amount, what forwarding costs is on top of it.
                        flows["out"] += row["amount"] + (row["fee"] if kind == "lightning" else 0)
            flows["sent"] += sum(row["amount"] for row in (await self.read(name, SENT))["data"])
            flows["received"] += sum(row["amount"] for row in (await self.read(name, RECEIVED))["data"])
        return flows

    async def check_books(self) -> None:
        """Deposits less withdrawals equal what all users and the exchange's own books hold; nobody has an objection."""
        held, books = await self.holdings(), await self.server.control("GET", "/books")
        totals = Counter(books["totals_sats"])
        assert books["discrepancies"] == []
        assert {book: totals[book] for book in USER_BOOKS} == {book: held[book] for book in USER_BOOKS}
        assert books["totals_usd_cents"] == {"user": held["cents"], "exchange": -held["cents"]}
        flows = await self.flows()
        assert flows["in"] >= len(self.keys) * OPENED_WITH + self.given
        assert flows["sent"] == flows["received"]
        assert (await self.server.control("GET", "/lightning"))["discrepancy_msat"] == 0
        house = sum(amount for book, amount in totals.items() if book not in {*USER_BOOKS, "outside"})
        assert flows["in"] - flows["out"] == -totals["outside"] == sum(held[book] for book in USER_BOOKS) + house

    async def nothing_is_late(self) -> bool:
        """Return whether every effect that was put off has come, or was refused."""
        injected = (await self.server.control("GET", "/faults/injected"))["injected"]
        return not any(each["done"].startswith("to be applied") for each in injected)

    async def happened(self) -> dict[str, int]:
        """Return how often each thing happened, as the accounts' lists tell."""
        counts: Counter[str] = Counter()
        for name in self.keys:
            for path in (*LIVE, *PAST):
                answer = await self.read(name, path)
                counts["trades"] += len(answer if path in LIVE else answer["data"])
            counts["swaps"] += len((await self.read(name, "/synthetic-usd/swaps"))["data"])
            transfers = [row["amount"] for row in (await self.read(name, "/futures/cross/transfers"))["data"]]
            counts["transferred"] += sum(transfers)
            counts["transfers"] += len(transfers)
            postings = (await self.server.control("GET", f"/accounts/{name}/books"))["postings"]
            counts["ordered"] += len((await self.read(name, "/account/withdrawals/lightning"))["data"])
            counts["ordered"] += len((await self.read(name, "/account/withdrawals/on-chain"))["data"])
            counts["sent"] += sum(row["amount"] for row in (await self.read(name, SENT))["data"])
            counts["added"] += sum(row["entries"]["margin"] for row in postings if row["kind"] == "add_margin")
            counts["cashed_in"] += sum(row["entries"]["balance"] for row in postings if row["kind"] == "cash_in")
        return dict(counts)

    async def applied(self) -> dict[str, int]:
        """Return how often each thing should have happened, by the requests that took effect."""
        entries = [entry for entry in await self.server.control("GET", "/requests") if entry["applied_at_ms"]]
        of = {
            path: [json.loads(entry["body"]) for entry in entries if entry["path"] == f"/v3{path}"]
            for path in {entry["path"].removeprefix("/v3") for entry in entries}
        }

        def amounts(path: str) -> Iterable[int]:
            return [body["amount"] for body in of.get(path, ())]

        put, taken = amounts("/futures/cross/deposit"), amounts("/futures/cross/withdraw")
        return {
            "trades": len(of.get("/futures/isolated/trade", ())),
            "swaps": len(of.get("/synthetic-usd/swap", ())),
            "transferred": sum(put) - sum(taken),
            "transfers": len([*put, *taken]),
            "ordered": len(of.get("/account/withdraw/lightning", ())) + len(of.get("/account/withdraw/on-chain", ())),
            "sent": sum(amounts("/account/withdraw/internal")),
            "added": sum(amounts("/futures/isolated/trade/add-margin")),
            "cashed_in": sum(amounts("/futures/isolated/trade/cash-in")),
        }


@pytest.mark.parametrize("seed", range(60 if "AXISOR_TEST_LONG" in os.environ else 4))
async def test_no_sat_is_made_or_lost_while_requests_meet_faults(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    async with a_paper_server(data_dir=tmp_path) as server:
        keys = {
            name: await server.create_account(username=name, balance_sats=OPENED_WITH, fee_tier=tier)
            for name, tier in (("ann", 0), ("bob", 3))
        }
        driver = Driver(server, keys, chance)
        await driver.walk(REQUESTS)
        assert driver.lost > REQUESTS // 20

        assert await driver.happened() == await driver.applied()
        await driver.check_books()
        before = await driver.holdings()
    async with a_paper_server(data_dir=tmp_path) as server:
        driver.server = server
        await driver.check_books()
        assert await driver.holdings() == before
        await driver.walk(REQUESTS // 3)
        await driver.check_books()
