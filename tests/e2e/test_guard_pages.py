"""The guard's pages in a real browser: overview, position, a rule changed on the chart, and why it acted by it."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect
from tests.e2e.test_first_minutes import browser, call, number, page, signed_in, trades_of
from tests.fixtures.stack import free_port
from tests.fixtures.up import Up

__all__ = ["browser", "page"]

STORY_MS = 60_000
DRAG_PX = 30


def drag_down(page: Page, handle: Locator) -> None:
    box = handle.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + DRAG_PX / 2)
    page.mouse.move(x, y + DRAG_PX)
    page.mouse.up()


def test_a_line_dragged_on_the_chart_is_the_rule_that_acts_and_the_page_says_why(
    up_in: Callable[..., Up], page: Page
) -> None:
    up = up_in("--no-browser", "--port", str(free_port()), "--scenario", "crash", "--seed", "1")
    url = up.await_open()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(up.links()[0])
    page.get_by_text("Room 3.8").first.wait_for(timeout=15_000)
    token = signed_in(up, url)
    call(f"{url}/api/v1/demo/pause", token=token, body={})

    page.get_by_role("link", name="Guard", exact=True).first.click()
    expect(page.get_by_test_id("user-coverage")).to_contain_text("Protected")
    page.get_by_role("link", name=re.compile("25x long")).click()
    rule = page.get_by_test_id("step-top_up")
    expect(rule).to_contain_text(re.compile(r"room falls to 50\s%"))

    page.get_by_role("button", name="Change", exact=True).click()
    sentence = page.get_by_test_id("rule-sentence")
    share = sentence.get_by_label("When: top up")
    expect(share).to_have_value(re.compile("50"))
    before = page.get_by_test_id("preview").inner_text()
    drag_down(page, page.get_by_role("slider", name="Top up"))
    expect(share).not_to_have_value(re.compile(r"^50\s%$"))
    expect(page.get_by_test_id("preview")).not_to_have_text(before)
    chosen = number(share.input_value())
    assert chosen < 50
    page.get_by_role("button", name="Save", exact=True).click()
    expect(sentence).to_be_hidden()
    expect(rule).to_contain_text(re.compile(rf"room falls to {re.escape(f'{chosen:g}')}\s%"))

    trade = trades_of(url, token)["25x long"]
    path = f"{url}/api/v1/accounts/{trade['exchange_account_id']}/trades/{trade['trade_id']}"
    effective = call(f"{path}/guard/rule", token=token)["effective"]
    stored = next(step for step in effective["steps"] if step["key"] == "top_up")
    assert (effective["scope"], effective["preset"]) == ("trade", "custom")
    assert abs(stored["trigger"]["share"] * 100 - chosen) < 0.5

    call(f"{url}/api/v1/demo/speed", token=token, body={"speed": 4})
    call(f"{url}/api/v1/demo/resume", token=token, body={})
    page.get_by_text(re.compile(r"^Added .+: room had fallen to")).first.wait_for(timeout=STORY_MS)
    deed = next(
        each
        for each in call(f"{path}/why", token=token)["items"]
        if each["kind"] == "did" and each["sentence"]["code"] == "add_margin"
    )
    assert deed["sentence"]["data"]["room_share"] <= stored["trigger"]["share"]
    assert deed["rule_version"] == effective["version"]
    expect(page.get_by_text("Certain: it was done").first).to_be_visible()
    page.get_by_test_id("outcome").first.wait_for()
    assert broken == []
