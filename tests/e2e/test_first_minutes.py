"""The first minutes of a newcomer: one command, a real browser, and figures that the exchange's books confirm."""

import json
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.factories.paper_disk import on_disk
from tests.fixtures.stack import free_port
from tests.fixtures.up import ROOT, Up

from axisor.paper.engine.books import Books
from axisor.paper.history import CLOSED_TRADES, POSTINGS, History
from axisor.paper.records import Account, CloseKind, PaperTrade, Posting

CHROMIUM = os.environ.get("AXISOR_TEST_CHROMIUM", "/usr/bin/chromium")
QUIET_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
STORY_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert (ROOT / "web" / "dist" / "index.html").exists(), "the web app is not built: ./axisor build"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET_CHROMIUM))
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    yield context.new_page()
    context.close()


def number(text: str) -> float:
    """Return the figure of a text that groups thousands with any kind of space."""
    return float(re.sub(r"[^0-9.\-−]", "", text).replace("−", "-"))


def chart_line(page: Page, label: str) -> float:
    """Return the price of a labelled line of the guarded trade's chart."""
    page.wait_for_function(
        """label => {
            const column = [...document.querySelectorAll('section')].find(s => s.ariaLabel === 'Guarded');
            return new RegExp(label + '\\\\s*\\\\d').test(column?.querySelector('[role=group]')?.innerText ?? '');
        }""",
        arg=label,
        timeout=15_000,
    )
    words = page.get_by_role("region", name="Guarded").get_by_role("group").first.inner_text()
    found = re.search(rf"{label}\s*([\d\s\u2009\u202f\u00a0]+(?:\.\d)?)", words)
    assert found is not None, words
    return number(found[1])


def call(url: str, *, token: str | None = None, body: dict[str, Any] | None = None) -> Any:
    headers = {"Content-Type": "application/json", "Origin": url.split("/api", maxsplit=1)[0]}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def signed_in(up: Up, url: str) -> str:
    """Return an access token, by a second link as Enter would print it."""
    key = (up.data_dir / "demo" / "run" / "internal.key").read_text().strip()
    request = urllib.request.Request(f"{url}/internal/start-link", method="POST", headers={"X-Axisor-Internal": key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        link = json.load(answer)["token"]
    return str(call(f"{url}/api/v1/auth/start", body={"token": link})["access_token"])


def trades_of(url: str, token: str) -> dict[str, dict[str, Any]]:
    """Return the guarded trades by label, as the pages get them."""
    demo = call(f"{url}/api/v1/demo", token=token)
    raw = call(f"{url}/api/v1/accounts/{demo['guarded_account_id']}/trades?state=all", token=token)
    return {trade["label"]: trade for trade in raw["items"]}


@dataclass(frozen=True)
class OnDisk:
    """One account as the paper exchange keeps it on its disk."""

    postings: list[Posting]
    closed: dict[str | None, PaperTrade]
    net_flows: dict[str, int]

    @classmethod
    def of(cls, account: Account, history: History) -> "OnDisk":
        closed = history.oldest_first(account.account_id, CLOSED_TRADES)
        return cls(
            postings=list(history.oldest_first(account.account_id, POSTINGS)),
            closed={trade.client_id: trade for trade in closed},
            net_flows=Books(history).net_flows(account),
        )


def books_of(data_dir: Path) -> dict[str, OnDisk]:
    """Return the two accounts of the demo: the one with top-ups is the guarded one."""
    with on_disk(data_dir / "demo" / "exchange") as (history, stored):
        accounts = [OnDisk.of(account, history) for account in stored]
    guarded = next(one for one in accounts if any(p.kind == "add_margin" for p in one.postings))
    unguarded = next(one for one in accounts if one is not guarded)
    return {"guarded": guarded, "unguarded": unguarded}


def test_a_newcomer_sees_a_rescue_and_figures_that_the_books_confirm(up_in: Callable[..., Up], page: Page) -> None:
    up = up_in("--no-browser", "--port", str(free_port()), "--speed", "3", "--scenario", "crash", "--seed", "1")
    url = up.await_open()
    page.goto(up.links()[0])
    price = page.get_by_test_id("last-price")
    page.wait_for_function(
        "() => /\\d/.test(document.querySelector('[data-testid=last-price]')?.innerText ?? '')", timeout=15_000
    )
    first_price = number(price.inner_text())
    page.wait_for_function(
        "was => document.querySelector('[data-testid=last-price]').innerText !== was",
        arg=price.inner_text(),
        timeout=STORY_MS,
    )
    page.get_by_text("Room 3.8").first.wait_for(timeout=15_000)
    liquidation_before = chart_line(page, "Liquidation")
    assert liquidation_before == 59_615.5

    page.get_by_text("25x long: topped up").first.wait_for(timeout=STORY_MS)
    page.wait_for_function(
        "() => [...document.querySelectorAll('section')].some(s => /Liquidation\\s*58/.test(s.innerText))",
        timeout=10_000,
    )
    assert chart_line(page, "Liquidation") < 58_600
    assert number(price.inner_text()) < first_price

    page.get_by_text("50x long: closed by its safety stop").first.wait_for(timeout=STORY_MS)
    page.get_by_test_id("kept").wait_for()
    token = signed_in(up, url)
    page.get_by_text("25x long: liquidated").first.wait_for(timeout=STORY_MS)
    trades = trades_of(url, token)
    books = books_of(up.data_dir)

    ended, dead = books["guarded"].closed, books["unguarded"].closed
    assert ended["50x long"].close_kind is CloseKind.STOP_LOSS
    assert {name: trade.close_kind for name, trade in dead.items()} == {
        "50x long": CloseKind.LIQUIDATION,
        "25x long": CloseKind.LIQUIDATION,
    }
    kept_by_the_books = (
        books["guarded"].net_flows[ended["50x long"].trade_id] - books["unguarded"].net_flows[dead["50x long"].trade_id]
    )
    assert trades["50x long"]["kept_sats"] == kept_by_the_books
    assert trades["50x long"]["kept_sats"] < 0

    rescued = trades["25x long"]
    added = [
        posting.entries["margin"]
        for posting in books["guarded"].postings
        if posting.kind == "add_margin" and posting.trade_id == rescued["trade_id"]
    ]
    assert len(added) == 1
    assert rescued["added_sats"] == added[0]
    assert rescued["kept_sats"] == rescued["value_sats"] - added[0]  # its copy without a guard is worth nothing
    assert trades["10x long"]["added_sats"] == 0
