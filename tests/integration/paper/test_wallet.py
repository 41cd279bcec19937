"""Money comes in and goes out over the wire: the official SDK asks, the user's Lightning node and the chain answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lnmarkets_sdk.rest.v3._internal.models import APIException
from lnmarkets_sdk.rest.v3.http.client import LNMClient
from lnmarkets_sdk.rest.v3.models.account import (
    AddBitcoinAddressParams,
    DepositLightningParams,
    GetLightningDepositsParams,
    GetLightningWithdrawalsParams,
    GetOnChainDepositsParams,
    GetOnChainWithdrawalsParams,
    WithdrawLightningParams,
    WithdrawOnChainParams,
)
from lnmarkets_sdk.stream.v1.client import StreamClient
from lnmarkets_sdk.stream.v1.models import AuthenticateParams, SubscribeParams
from tests.factories.paper_server import Keys, PaperServer, a_paper_server, eventually
from tests.fixtures.processes import until

from axisor.infra.lightning.address import check_address
from axisor.infra.lightning.bolt11 import decode_invoice
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.scopes import Scope

OUTSIDE = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"


@asynccontextmanager
async def an_account(server: PaperServer, **more: object) -> AsyncIterator[tuple[LNMClient, Keys]]:
    keys = await server.create_account(balance_sats=1_000_000, **more)
    async with server.sdk(keys) as client:
        yield client, keys


async def pay(server: PaperServer, payment_request: str) -> None:
    """Pay an invoice as the user's node does."""
    paid = await server.control("POST", "/lightning/user/payments", {"payment_request": payment_request})
    assert paid["state"] == "succeeded"


async def an_invoice(server: PaperServer, amount_sats: int) -> str:
    made = await server.control("POST", "/lightning/user/invoices", {"amount_sats": amount_sats})
    return str(made["payment_request"])


async def withdrawal_ends(server: PaperServer, keys: Keys) -> dict[str, Any]:
    """Return the newest Lightning withdrawal once it is no longer processed."""
    rows: list[dict[str, Any]] = []

    async def has_ended() -> bool:
        _, page = await server.call("GET", "/account/withdrawals/lightning", keys)
        rows[:] = page["data"]
        return bool(rows) and rows[0]["status"] != "processing"

    await eventually(has_ended)
    return rows[0]


async def books_balance(server: PaperServer) -> None:
    assert (await server.control("GET", "/books"))["discrepancies"] == []
    assert (await server.control("GET", "/lightning"))["discrepancy_msat"] == 0


async def test_a_lightning_deposit_is_an_invoice_that_the_user_pays() -> None:
    async with a_paper_server() as server, an_account(server) as (client, _):
        made = await client.account.deposit_lightning(DepositLightningParams(amount=25_000, comment="rent"))
        said = decode_invoice(made.payment_request)
        assert (said.network, said.amount_msat, said.description) == (BitcoinNetwork.SIGNET, 25_000_000, "rent")
        unpaid = await client.account.get_lightning_deposits(GetLightningDepositsParams(settled=False))
        assert [(row.id, row.settled_at, row.comment) for row in unpaid.data] == [(made.deposit_id, None, "rent")]
        await pay(server, made.payment_request)
        assert (await client.account.get_account()).balance == 1_025_000
        [row, gift] = (await client.account.get_lightning_deposits(GetLightningDepositsParams(settled=True))).data
        assert (row.id, row.amount, row.payment_hash) == (made.deposit_id, 25_000, said.payment_hash.hex())
        assert row.settled_at is not None
        assert gift.amount == 1_000_000
        assert (await client.account.get_lightning_deposits(GetLightningDepositsParams(settled=False))).data == []
        await books_balance(server)


async def test_a_lightning_withdrawal_is_paid_to_the_user() -> None:
    async with a_paper_server() as server, an_account(server) as (client, keys):
        before = (await server.control("GET", "/lightning"))["nodes"]["user"]["balance_sats"]
        invoice = await an_invoice(server, 30_000)
        made = await client.account.withdraw_lightning(WithdrawLightningParams(invoice=invoice))
        assert (made.amount, made.max_fees) == (30_000, 300)
        assert made.payment_hash == decode_invoice(invoice).payment_hash.hex()
        ended = await withdrawal_ends(server, keys)
        assert (ended["id"], ended["status"], ended["fee"]) == (made.id, "processed", 4)
        assert (await client.account.get_account()).balance == 1_000_000 - 30_000 - 4
        processed = await client.account.get_lightning_withdrawals(GetLightningWithdrawalsParams(status="processed"))
        assert [row.id for row in processed.data] == [made.id]
        failed = await client.account.get_lightning_withdrawals(GetLightningWithdrawalsParams(status="failed"))
        assert failed.data == []
        after = (await server.control("GET", "/lightning"))["nodes"]["user"]["balance_sats"]
        assert after - before == 30_000
        with pytest.raises(APIException, match="already used"):
            await client.account.withdraw_lightning(WithdrawLightningParams(invoice=invoice))
        with pytest.raises(APIException, match="Send a correct BOLT 11 invoice"):
            await client.account.withdraw_lightning(WithdrawLightningParams(invoice="test_invoice"))
        await books_balance(server)


async def test_a_held_withdrawal_survives_a_restart(tmp_path: Path) -> None:
    async with a_paper_server(data_dir=tmp_path) as server, an_account(server) as (client, keys):
        await server.control("POST", "/lightning/faults", {"kind": "hold", "payer": "exchange"})
        invoice = await an_invoice(server, 30_000)
        made = await client.account.withdraw_lightning(WithdrawLightningParams(invoice=invoice))
        await eventually(lambda: is_held(server))
    async with a_paper_server(data_dir=tmp_path) as server:
        _, page = await server.call("GET", "/account/withdrawals/lightning", keys)
        assert [(row["id"], row["status"]) for row in page["data"]] == [(made.id, "processing")]
        _, account = await server.call("GET", "/account", keys)
        assert account["balance"] == 1_000_000 - 30_300
        await books_balance(server)
        await server.control("POST", f"/lightning/payments/{made.payment_hash}/release")
        assert (await withdrawal_ends(server, keys))["status"] == "processed"
        _, account = await server.call("GET", "/account", keys)
        assert account["balance"] == 1_000_000 - 30_004
        await books_balance(server)
    async with a_paper_server(data_dir=tmp_path) as server:
        # Every end is reported again after a start, and counts once.
        _, account = await server.call("GET", "/account", keys)
        assert account["balance"] == 1_000_000 - 30_004
        await books_balance(server)


async def is_held(server: PaperServer) -> bool:
    return bool((await server.control("GET", "/lightning"))["held"])


async def test_what_is_told_twice_counts_once() -> None:
    async with a_paper_server() as server, an_account(server) as (client, keys):
        await server.control("POST", "/lightning/faults", {"kind": "notify_twice", "count": 0})
        made = await client.account.deposit_lightning(DepositLightningParams(amount=25_000))
        await pay(server, made.payment_request)
        await client.account.withdraw_lightning(WithdrawLightningParams(invoice=await an_invoice(server, 30_000)))
        await withdrawal_ends(server, keys)
        assert (await client.account.get_account()).balance == 1_025_000 - 30_004
        assert (await server.control("GET", "/lightning/faults"))["count"] == 2
        await books_balance(server)


async def test_a_failed_withdrawal_gives_everything_back() -> None:
    async with a_paper_server() as server, an_account(server) as (client, keys):
        await server.control("POST", "/lightning/faults", {"kind": "fail", "payer": "exchange"})
        await client.account.withdraw_lightning(WithdrawLightningParams(invoice=await an_invoice(server, 30_000)))
        ended = await withdrawal_ends(server, keys)
        assert (ended["status"], ended["fee"]) == ("failed", 0)
        assert (await client.account.get_account()).balance == 1_000_000
        await books_balance(server)


async def test_the_chain_pays_in_and_out() -> None:
    async with a_paper_server() as server, an_account(server, email="paper@example.org") as (client, keys):
        first = (await client.account.get_bitcoin_address()).address
        check_address(first, network=BitcoinNetwork.SIGNET)
        made = await client.account.add_bitcoin_address(AddBitcoinAddressParams(format="p2wpkh"))
        assert made.address.startswith("tb1q")
        assert (await client.account.get_bitcoin_address()).address == made.address
        base = f"/accounts/{keys.account_id}"
        seen = await server.control("POST", f"{base}/on-chain-deposits", {"amount_sats": 40_000})
        assert (seen["address"], seen["status"]) == (made.address, "MEMPOOL")
        assert (await client.account.get_bitcoin_address()).address == first
        await server.control("POST", f"{base}/on-chain-deposits/{seen['deposit_id']}/confirm")
        [row] = (await client.account.get_on_chain_deposits(GetOnChainDepositsParams(status="CONFIRMED"))).data
        assert (row.amount, row.confirmations, row.tx_id) == (40_000, 1, seen["tx_id"])
        assert row.block_height is not None
        sent = await client.account.withdraw_on_chain(WithdrawOnChainParams(address=OUTSIDE, amount=100_000))
        assert (sent.status, sent.amount) == ("pending", 100_000)
        await server.control("POST", f"{base}/on-chain-withdrawals/{sent.id}/process")
        await server.control("POST", f"{base}/on-chain-withdrawals/{sent.id}/complete", {"fee_sats": 300})
        other = await client.account.withdraw_on_chain(WithdrawOnChainParams(address=OUTSIDE, amount=5_000))
        await server.control("POST", f"{base}/on-chain-withdrawals/{other.id}/reject")
        third = await client.account.withdraw_on_chain(WithdrawOnChainParams(address=OUTSIDE, amount=6_000))
        await server.control("POST", f"{base}/on-chain-withdrawals/{third.id}/cancel")
        every = (await client.account.get_on_chain_withdrawals()).data
        assert [(row.status, row.fee) for row in every] == [("canceled", None), ("rejected", None), ("processed", 300)]
        processed = GetOnChainWithdrawalsParams(status="processed")
        assert [row.id for row in (await client.account.get_on_chain_withdrawals(processed)).data] == [sent.id]
        account = await client.account.get_account()
        assert (account.balance, account.email) == (940_000, "paper@example.org")
        with pytest.raises(APIException, match="Invalid address"):
            await client.account.withdraw_on_chain(WithdrawOnChainParams(address="test_address", amount=100_000))
        await books_balance(server)


async def test_too_many_unused_addresses_are_refused_in_the_exchanges_words() -> None:
    terms = WalletTerms(max_unused_addresses=1)
    async with a_paper_server(wallet=terms) as server, an_account(server) as (client, _):
        await client.account.add_bitcoin_address()
        with pytest.raises(APIException, match="You have too many unused addresses"):
            await client.account.add_bitcoin_address()


async def test_a_cap_on_deposits_has_a_code_of_its_own() -> None:
    terms = WalletTerms(deposit_cap_sats=1_500_000)
    async with a_paper_server(wallet=terms) as server, an_account(server) as (client, _):
        with pytest.raises(APIException, match="TIER_LIMIT_EXCEEDED"):
            await client.account.deposit_lightning(DepositLightningParams(amount=500_001))
        await client.account.deposit_lightning(DepositLightningParams(amount=500_000))


async def test_users_pay_each_other() -> None:
    async with a_paper_server() as server:
        bob = await server.create_account(balance_sats=1_000, username="bob")
        ann = await server.create_account(balance_sats=50, username="ann")
        body = {"amount": 100, "toUsername": "ann"}
        status, made = await server.call("POST", "/account/withdraw/internal", bob, body=body)
        assert status == 200
        assert made.keys() == {"id", "createdAt", "fromUid", "toUid", "amount"}
        assert (made["fromUid"], made["toUid"], made["amount"]) == (bob.account_id, ann.account_id, 100)
        _, came = await server.call("GET", "/account/deposits/internal", ann)
        _, went = await server.call("GET", "/account/withdrawals/internal", bob, query="limit=5")
        common = {"id": made["id"], "createdAt": made["createdAt"], "amount": 100, "success": True}
        assert came == {"data": [{**common, "fromUsername": "bob"}], "nextCursor": None}
        assert went == {"data": [{**common, "toUsername": "ann"}], "nextCursor": None}
        _, account = await server.call("GET", "/account", ann)
        assert account["balance"] == 150
        await books_balance(server)


async def test_each_endpoint_needs_its_own_permission() -> None:
    async with a_paper_server() as server:
        reader = await server.create_account(scopes=[Scope.DEPOSITS_READ])
        allowed = [("GET", "/account/address/bitcoin"), ("GET", "/account/deposits/lightning")]
        forbidden = [
            ("POST", "/account/address/bitcoin"),
            ("POST", "/account/deposit/lightning"),
            ("POST", "/account/withdraw/lightning"),
            ("POST", "/account/withdraw/on-chain"),
            ("POST", "/account/withdraw/internal"),
            ("GET", "/account/withdrawals/lightning"),
            ("GET", "/account/withdrawals/on-chain"),
            ("GET", "/account/withdrawals/internal"),
        ]
        assert {(await server.call(*request, reader))[0] for request in allowed} == {200}
        assert {(await server.call(*request, reader))[0] for request in forbidden} == {403}
        status, _ = await server.call("GET", "/account/deposits/lightning", reader, query="settled=perhaps")
        assert status == 400


async def test_the_stream_tells_of_deposits_and_withdrawals(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_paper_server() as server, an_account(server) as (client, keys):
        monkeypatch.setenv("STREAM_V1_API_URL", server.addresses.stream_url)
        told: list[dict[str, Any]] = []
        async with StreamClient() as stream:
            await stream.connect()
            stream.on("wallet/deposit", told.append)
            stream.on("wallet/withdrawal", told.append)
            await stream.auth.authenticate(
                AuthenticateParams(key=keys.key, secret=keys.secret, passphrase=keys.passphrase)
            )
            await stream.subscription.subscribe(SubscribeParams(topics=["wallet/deposit", "wallet/withdrawal"]))
            deposit = await client.account.deposit_lightning(DepositLightningParams(amount=25_000))
            await pay(server, deposit.payment_request)
            made = await client.account.withdraw_lightning(
                WithdrawLightningParams(invoice=await an_invoice(server, 30_000))
            )
            await until(lambda: len(told) == 3, within_s=3)
        common = {"currency": "btc", "network": "lightning"}
        incoming = {**common, "id": deposit.deposit_id, "amount": 25_000, "balance": 1_025_000, "status": "settled"}
        outgoing = {**common, "id": made.id, "amount": 30_000, "txId": made.payment_hash}
        assert told == [
            {**incoming, "txId": decode_invoice(deposit.payment_request).payment_hash.hex()},
            {**outgoing, "balance": 994_700, "fee": 0, "status": "processing"},
            {**outgoing, "balance": 994_996, "fee": 4, "status": "processed"},
        ]
