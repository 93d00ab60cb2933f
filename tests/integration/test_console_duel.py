"""The view Viewer in a real browser, against a real replica: two versions side by side, and rules that are put live."""

from __future__ import annotations

import operator
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.http.access import Access
from streaming.metrics import MemoryMetrics
from tests.console_api import Stage
from tests.console_process import console_process
from tests.console_replica import served_replica
from tests.integration.test_console import PATIENCE_S, WIDTHS, Site, overflow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

DUEL = "/viewer?a=v&b=v&vb=v0"


@pytest.fixture(scope="module")
def replica() -> Iterator[str]:
    with served_replica() as url:
        yield url


@pytest.fixture(scope="module")
def site(replica: str, browser: Browser) -> Iterator[Site]:
    with console_process(replica) as console:
        yield Site(console.url, Stage(), browser)


def side(page: Page, name: str) -> Locator:
    return page.get_by_label(name, exact=True)


def rooms(page: Page, name: str) -> list[str]:
    side(page, name).locator(".tc-item").nth(19).wait_for()
    return side(page, name).locator(".tc-item .tc-sub .tc-mono").all_inner_texts()


def await_rooms(page: Page, name: str, are_there: Callable[[list[str]], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not are_there(rooms(page, name)):
        assert time.monotonic() < deadline_s, f"{name} still has {rooms(page, name)}"
        page.wait_for_timeout(50)


def await_text(panel: Locator, text: str) -> None:
    """Waits until the panel says it; fails with what it says instead."""
    deadline_s = time.monotonic() + PATIENCE_S
    while text not in (said := panel.inner_text()):
        assert time.monotonic() < deadline_s, f"no {text!r} in {said!r}"
        panel.page.wait_for_timeout(50)


def choose(page: Page, within: str, field: str, option: str) -> None:
    side(page, within).get_by_role("combobox", name=field, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_viewers_list_by_two_versions_side_by_side(site: Site, width: int, tmp_path: Path) -> None:
    with site.page("/viewer?a=v&b=", width=width) as page:
        left = rooms(page, "Viewer")
        side(page, "Beside").get_by_label("viewer", exact=True).fill("v")
        assert rooms(page, "Beside") == left
        for name in ("Viewer", "Beside"):
            side(page, name).get_by_text("the same rooms in the same order as in the other list").wait_for()
            side(page, name).get_by_text("model one").wait_for()
        choose(page, "Beside", "version", "v0, the baseline")
        side(page, "Beside").get_by_text("model v0").wait_for()
        page.wait_for_url("**/viewer?a=v&b=v&vb=v0")
        right = rooms(page, "Beside")
        assert right != left
        side(page, "Beside").locator(".tc-legend").get_by_text("crowd").wait_for()
        side(page, "Viewer").locator(".tc-legend").get_by_text("enter").wait_for()
        moved = sum(right.index(room) != place for place, room in enumerate(left) if room in right)
        alone = sum(room not in right for room in left)
        said = f"beside the other list: {moved} in another place, {alone} only here"
        for name in ("Viewer", "Beside"):
            side(page, name).get_by_text(said).wait_for()
            assert side(page, name).locator(".tc-move.up, .tc-move.down").count() == moved
            assert side(page, name).locator(".tc-move.new").count() == alone
        side(page, "Beside").get_by_role("button", name="copy as curl").click()
        assert '"version":"v0"' in page.locator(".tc-curl").inner_text()
        page.keyboard.press("Escape")
        page.screenshot(path=tmp_path / f"duel-{width}.png", full_page=True)
        assert overflow(page) == 0
        choose(page, "Viewer", "version", "one, live")
        page.wait_for_url("**/viewer?a=v&b=v&va=one&vb=v0")
        assert rooms(page, "Viewer") == left


def test_a_version_of_the_address_that_does_not_answer_is_refused_with_those_that_do(site: Site) -> None:
    with site.page("/viewer?a=v&b=v&va=m7") as page:
        side(page, "Viewer").get_by_text("'v0' and 'one' can be asked for").wait_for()
        assert len(rooms(page, "Beside")) == 20, "the other list of the same viewer is not to blame"
        choose(page, "Viewer", "version", "as callers get")
        side(page, "Viewer").get_by_text("can be asked for").wait_for(state="hidden")
        assert len(rooms(page, "Viewer")) == 20


def test_the_viewer_beside_is_taken_over(site: Site) -> None:
    with site.page("/viewer?a=v&b=nobody&vb=v0") as page:
        rooms(page, "Beside")
        side(page, "Beside").get_by_role("button", name="the same viewer").click()
        page.wait_for_url(f"**{DUEL}")
        side(page, "Beside").get_by_role("button", name="the same viewer").wait_for(state="hidden")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_rule_is_put_in_the_page_and_the_lists_move_and_move_back(
    site: Site, replica: str, width: int, tmp_path: Path
) -> None:
    with site.page(DUEL, width=width) as page:
        before = {name: rooms(page, name) for name in ("Viewer", "Beside")}
        room = before["Viewer"][11]
        side(page, "Rules").get_by_text("none yet").wait_for()
        side(page, "Viewer").locator(".tc-item").nth(11).get_by_role("button", name="rule", exact=True).click()
        panel = side(page, "Rules")
        page.wait_for_function(f"[...document.querySelectorAll('input')].some(e => e.value === '{room}')")
        assert panel.get_by_label("which", exact=True).input_value() == room
        panel.get_by_role("button", name="Put rule").click()
        page.get_by_text("a name is missing").wait_for()
        panel.get_by_label("rule name", exact=True).fill("finals")
        choose(page, "Rules", "does", "pin")
        panel.get_by_label("place", exact=True).fill("2")
        panel.get_by_role("button", name="copy as curl").click()
        command = page.locator(".tc-curl").inner_text()
        assert command.startswith(f"curl -s -X PUT {replica}/v1/rules/finals -d ")
        assert f'"action":"pin","rooms":["{room}"],"position":2,"ends_at_ms":' in command
        page.keyboard.press("Escape")
        panel.get_by_role("button", name="Put rule").click()
        for name in ("Viewer", "Beside"):
            await_rooms(page, name, lambda found: found[1] == room)
            second = side(page, name).locator(".tc-item").nth(1)
            assert second.locator(".tc-reason").inner_text().startswith("pinned by the rule finals")
            assert second.get_by_text("rule finals", exact=True).count() == 0, "the reason says so"
        panel.locator(".tc-watch.done").wait_for()
        panel.get_by_text("1 room by the rule;").first.wait_for()
        row = panel.locator("tbody tr", has_text="finals")
        row.get_by_text("in force until").wait_for()
        row.get_by_text("1 room now").wait_for()
        panel.get_by_text("1 of 1 in force").wait_for()
        panel.get_by_label("reason", exact=True).fill("all weekend")
        panel.get_by_role("button", name="Put rule").click()
        page.get_by_role("button", name="Yes").click()
        second = side(page, "Viewer").locator(".tc-item").nth(1)
        second.get_by_text("all weekend", exact=True).wait_for()
        second.get_by_text("rule finals", exact=True).wait_for()
        panel.get_by_text("0 came, 0 went, 0 changed places").first.wait_for()
        page.screenshot(path=tmp_path / f"rules-{width}.png", full_page=True)
        assert overflow(page) == 0
        panel.get_by_role("button", name="delete finals").click()
        page.get_by_text("Delete finals?").wait_for()
        page.get_by_role("button", name="Yes").click()
        for name, was in before.items():
            await_rooms(page, name, partial(operator.eq, was))
        panel.get_by_text("none yet").wait_for()
        assert b"finals" not in urllib.request.urlopen(f"{replica}/v1/rules").read()


def test_a_rule_of_a_name_that_is_there_is_replaced_after_asking_and_a_refusal_says_what_to_do(site: Site) -> None:
    with site.page("/viewer?a=v&b=") as page:
        panel = side(page, "Rules")
        first = rooms(page, "Viewer")[0]
        panel.get_by_role("button", name="put a rule").click()
        panel.get_by_label("rule name", exact=True).fill("quiet!")
        panel.get_by_label("which", exact=True).fill("c1")
        panel.get_by_role("button", name="Put rule").click()
        panel.locator(".tc-watch.failed").wait_for()
        panel.get_by_text("'quiet!' is no name of a rule. name: ").wait_for()
        panel.get_by_label("rule name", exact=True).fill("quiet")
        choose(page, "Rules", "does", "hide")
        choose(page, "Rules", "to rooms by", "room")
        panel.get_by_label("which", exact=True).fill(first)
        panel.get_by_role("button", name="Put rule").click()
        await_text(panel, "1 came, 1 went")
        await_rooms(page, "Viewer", lambda found: first not in found)
        panel.locator("tbody tr", has_text=f"rooms {first}").wait_for()
        panel.get_by_label("which", exact=True).fill("no-such-room")
        panel.get_by_role("button", name="Put rule").click()
        page.get_by_text("Replace quiet?").wait_for()
        page.get_by_role("button", name="Yes").click()
        panel.locator("tbody tr", has_text="no-such-room").locator(".tc-warn").wait_for()
        page.wait_for_function(f"document.querySelector('.tc-item .tc-sub .tc-mono').innerText === '{first}'")
        panel.get_by_role("button", name="Put rule", disabled=False).wait_for()  # the one before has been followed
        panel.get_by_role("button", name="delete quiet").click()
        page.get_by_role("button", name="Yes").click()
        panel.get_by_text("none yet").wait_for()


def test_a_console_that_may_not_put_rules_says_so(browser: Browser) -> None:
    with (
        served_replica(Access(None, MemoryMetrics())) as url,
        console_process(url) as console,
        Site(console.url, Stage(), browser).page(DUEL) as page,
    ):
        panel = side(page, "Rules")
        panel.get_by_text("Rules cannot be put from here: nobody may admin here").wait_for()
        rooms(page, "Viewer")
        assert not panel.get_by_role("button", name="put a rule").is_visible()
        side(page, "Viewer").get_by_role("button", name="rule", exact=True).first.click()
        page.get_by_text("rules cannot be put from here", exact=True).wait_for()
        assert not panel.get_by_role("button", name="Put rule").is_visible()
