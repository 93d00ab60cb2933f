"""The console in a real browser, against Tidecast's HTTP API with made-up rooms."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.demo.control import DemoControl
from streaming.machine.ports import free_port
from tests.console_api import FakeApi, Stage
from tests.console_process import console_process
from tests.console_site import WIDTHS, Site, overflow
from tests.eventually import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE_S = 30.0
VIEWS = {
    "/": ".tc-row",
    "/viewer?a=v000017&b=nobody": ".tc-item",
    "/ask?q=chess&viewer=v000017&text=chess": ".tc-pull",
    "/map": ".tc-map canvas",
    "/health": ".tc-table tbody tr",
}
HOSTILE = {
    0: "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>",
    1: "{{ constructor.constructor('window.hit = 1')() }} ${window.hit = 1} `",
    2: "safe \u202egnp.exe\u2066 \u2067 \x1b[31m\x07 end",
    3: "W" * 2_000,
    4: "Z\u0335\u0321" + "a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309" * 40,
    5: "",
    6: "مرحبا بالعالم - שלום עולם - hello",
    7: '"><svg onload=window.hit=1> \' onmouseover=window.hit=1 x="',
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_each_view_shows_live_data_in_both_themes_and_widths(
    site: Site, width: int, theme: str, tmp_path: Path
) -> None:
    for path, row in VIEWS.items():
        with site.page(path, width=width, theme=theme) as page:
            page.locator(row).first.wait_for()
            assert page.locator(".tc-skeleton .q-skeleton:visible").count() == 0
            assert page.locator("body.body--dark").count() == (theme == "dark")
            page.get_by_text("current", exact=True).wait_for()
            name = path[1:].partition("?")[0] or "live"
            page.screenshot(path=tmp_path / f"{name}-{width}-{theme}.png", full_page=True)
            assert overflow(page) == 0


def test_rooms_show_audience_chat_and_freshness_as_they_change(site: Site) -> None:
    with site.page("/") as page:
        first = page.locator(".tc-row").first
        first.get_by_text("Silent Peak, blind run").wait_for()
        assert page.locator(".tc-row").count() == site.stage.rooms
        first.get_by_text("4000").wait_for()
        site.stage.titles[0] = "another title"
        first.get_by_text("another title").wait_for()
        for kind in (":not(.drift)", ".drift"):
            line = f".tc-spark{kind} polyline"
            page.wait_for_function(f"document.querySelector('{line}').getAttribute('points').length > 10")
        site.stage.rooms = 3
        page.wait_for_function("document.querySelectorAll('.tc-row').length === 3")


def test_a_typed_line_is_posted_and_the_stopwatch_ends_at_its_receipt(site: Site) -> None:
    with site.page("/") as page:
        page.locator(".tc-row").nth(5).click()
        page.wait_for_function("document.activeElement.getAttribute('aria-label') === 'chat line'")
        page.locator(".tc-row.picked", has_text="room-0005").wait_for()
        page.keyboard.type("what a <b>jump</b>")
        page.keyboard.press("Enter")
        page.locator(".tc-watch.done").wait_for()
        steps = page.locator(".tc-steps")
        steps.get_by_text("v000017").wait_for()
        line = site.stage.chat[-1]
        assert (line.room, line.viewer, line.text) == ("room-0005", "console", "what a <b>jump</b>")
        assert "what a <b>jump</b>" in steps.inner_text()
        assert "→ 1" in steps.inner_text()
        assert page.locator(".tc-watch").inner_text().endswith(("ms", " s"))
        page.get_by_role("button", name="Send").click()
        page.get_by_text("a text is missing").wait_for()
        page.get_by_label("room", exact=True).fill("gone")
        page.get_by_label("chat line", exact=True).fill("hello?")
        page.get_by_role("button", name="Send").click()
        page.locator(".tc-watch.failed").wait_for()
        assert "room gone is not live" in steps.inner_text()


OFF = "records are not taken over HTTP here: intake.enabled is off"


@pytest.mark.parametrize(("takes_chat", "refusal", "why"), [(False, "", "it has no POST /v1/chat"), (True, OFF, OFF)])
def test_an_installation_without_intake_says_so_and_why(site: Site, takes_chat: bool, refusal: str, why: str) -> None:
    site.stage.takes_chat, site.stage.refusal = takes_chat, refusal
    with site.page_of_a_new_console("/") as page:
        page.get_by_text(f"This installation takes no records over HTTP: {why}").wait_for()
        assert not page.get_by_role("button", name="Send").is_visible()


def test_text_of_strangers_stays_text_and_in_its_place(site: Site) -> None:
    site.stage.titles |= HOSTILE
    site.stage.rooms = len(HOSTILE)
    for width in WIDTHS:
        for path in ("/", "/viewer?a=v1%3Cb%3E%22'%3E{{1%2B1}}&b=nobody"):
            with site.page(path, width=width) as page:
                page.locator(VIEWS["/"] if path == "/" else ".tc-item").nth(7).wait_for()
                page.get_by_text("<script>window.hit = 1</script>").first.wait_for()
                page.get_by_text("constructor.constructor").first.wait_for()
                assert page.evaluate("window.hit") is None
                assert page.locator("main img").count() == 0
                text = page.locator("main").inner_text()
                assert not set("\u202e\u2066\u2067\x1b\x07") & set(text)
                assert "W" * 200 not in text
                assert overflow(page) == 0
                heights = page.evaluate("[...document.querySelectorAll('.tc-title')].map(e => e.offsetHeight)")
                assert max(heights) < 50, "a title takes two lines at most"


def test_a_viewer_is_compared_explained_and_asked_without_rooms(site: Site) -> None:
    with site.page("/viewer?a=v000017&b=nobody") as page:
        page.get_by_text("has a profile").wait_for()
        page.get_by_text("no profile: a cold-start viewer").wait_for()
        assert page.locator(".tc-move:text-is('only here')").count() > 0
        left = page.get_by_label("Viewer", exact=True)
        left.get_by_text("you visited", exact=False).first.wait_for()
        first = left.locator(".tc-item .tc-mono").first.inner_text()
        left.get_by_role("button", name="why").first.click()
        left.locator("canvas").wait_for()
        left.get_by_text("The score is the sum of these terms.").wait_for()
        left.get_by_role("button", name="leave out").first.click()
        left.get_by_text("1 left out: take back").wait_for()
        page.wait_for_function("first => !document.querySelector('.tc-list').innerText.includes(first)", arg=first)
        left.get_by_role("button", name="copy as curl").click()
        command = page.locator(".tc-curl").inner_text()
        assert command.startswith("curl -s http://127.0.0.1:")
        assert f'"exclude":["{first}"]' in command
        eventually(lambda: page.evaluate("navigator.clipboard.readText()") == command, "it is on the clipboard")
        page.keyboard.press("Escape")
        left.get_by_role("button", name="similar rooms").first.click()
        page.get_by_text("Rooms like").wait_for()


def test_figures_of_a_learned_version_are_not_passed_for_a_sum(site: Site) -> None:
    site.stage.learned = True
    with site.page("/viewer?a=v000017") as page:
        page.get_by_role("button", name="why").first.click()
        page.get_by_text("the score is not their sum").wait_for()


def test_an_event_is_sent_and_the_list_moves(site: Site) -> None:
    with site.page("/viewer?a=v000017") as page:
        card = page.locator(".tc-item").nth(2)
        room = card.locator(".tc-mono").inner_text()
        card.get_by_role("button", name="send an event").click()
        field = page.get_by_label("room", exact=True)
        eventually(lambda: field.input_value() == room, "the room stands in the form")
        page.get_by_role("combobox", name="what").click()
        page.get_by_role("option", name="hides the room").click()
        page.get_by_role("button", name="Send event").click()
        page.locator(".tc-watch.done").wait_for()
        steps = page.get_by_label("Send an event").locator(".tc-steps")
        steps.get_by_text("3 → not in the first 20").wait_for()
        steps.get_by_text("1 came, 0 went, 0 changed places").wait_for()
        event = site.stage.done[-1]
        assert (event.viewer, event.room, event.action) == ("v000017", room, "hide_room")
        assert event.streamer
        page.wait_for_function("room => !document.querySelector('.tc-list').innerText.includes(room)", arg=room)
        page.get_by_label("room", exact=True).fill("gone")
        page.get_by_role("button", name="Send event").click()
        page.locator(".tc-watch.failed").wait_for()
        assert "room gone is not live" in steps.inner_text()
        page.get_by_label("Send an event").get_by_role("button", name="copy as curl").click()
        assert '"action":"hide_room"' in page.locator(".tc-curl").inner_text()


def test_a_newcomer_is_made_by_clicking_rooms(site: Site) -> None:
    with site.page("/viewer?a=nobody") as page:
        left = page.get_by_label("Viewer", exact=True)
        left.get_by_text("a newcomer: press").wait_for()
        fifth = left.locator(".tc-item").nth(4)
        room = fifth.locator(".tc-mono").inner_text()
        fifth.get_by_role("button", name="was here").click()
        left.get_by_text("comes from 1 room: forget").wait_for()
        page.wait_for_function(
            "last => document.querySelector('.tc-item .tc-mono')?.innerText.endsWith(last)", arg=room[-1]
        )
        left.get_by_role("button", name="copy as curl").click()
        assert f'"context":{{"recent":["{room}"]}}' in page.locator(".tc-curl").inner_text()
        page.keyboard.press("Escape")
        left.get_by_text("comes from 1 room: forget").click()
        left.get_by_text("a newcomer: press").wait_for()
        page.goto(site.url + "/viewer?a=v000017")
        page.locator(".tc-item").first.wait_for()
        assert page.get_by_role("button", name="was here").count() == 0, "a viewer with a profile is known by it"


def test_it_begins_with_a_viewer_whom_the_system_knows(site: Site) -> None:
    with site.page_of_a_new_console("/viewer") as page:
        page.get_by_text("has a profile").wait_for()
        viewer = page.get_by_label("Viewer", exact=True).get_by_label("viewer", exact=True)
        assert viewer.input_value() == "v000042"
        page.get_by_role("button", name="somebody known").first.click()
        page.wait_for_url("**/viewer?a=v000007&b=*")
    site.stage.names_viewers = False  # as to a key without the scope admin
    with site.page_of_a_new_console("/viewer") as page:
        left = page.get_by_label("Viewer", exact=True)
        left.get_by_text("no profile: a cold-start viewer").wait_for()
        assert not left.get_by_role("button", name="somebody known").is_visible()


def test_the_map_shows_rooms_by_content_and_which_of_them_moved(site: Site) -> None:
    site.stage.codes = True
    with site.page("/map") as page:
        page.locator(".tc-map canvas").first.wait_for()
        page.get_by_text("the two directions show 27% of what differs").wait_for()
        legend = page.locator(".tc-legend").first
        legend.get_by_text("Chess").wait_for()
        side = page.get_by_label("Moved most")
        side.locator(".tc-row").first.wait_for()  # every ninth room wanders
        side.locator(".tc-row button").first.focus()
        page.keyboard.press("Enter")
        room = page.get_by_label("Room", exact=True)
        room.get_by_text("room-00").wait_for()
        room.get_by_text("viewers").wait_for()
        room.get_by_role("button", name="similar rooms").click()
        page.get_by_text("Rooms like").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("Rooms like").wait_for(state="hidden")
        page.get_by_role("button", name="language").click()
        legend.get_by_text("pt-BR").wait_for()
        page.get_by_role("button", name="code").click()
        legend.get_by_text("code 3").wait_for()
        page.locator("h2").first.click()
        page.keyboard.press("/")
        page.wait_for_function("document.activeElement.getAttribute('aria-label') === 'find a room'")
        page.keyboard.type("reel-to-reel")
        side.get_by_text("found").wait_for()
        side.get_by_text("Restoring a 1974").first.wait_for()
        page.keyboard.press("Control+A")
        page.keyboard.type("no such room at all")
        side.get_by_text("No room on the map has this text.").wait_for()
        page.get_by_label("Rooms by content").get_by_role("button", name="copy as curl").click()
        assert "/v1/map?limit=" in page.locator(".tc-curl").inner_text()


def test_a_room_is_chosen_on_the_map_itself(site: Site) -> None:
    site.stage.rooms = 1
    with site.page("/map") as page:
        canvas = page.locator(".tc-map canvas").first
        canvas.wait_for()
        box = canvas.bounding_box()
        assert box is not None
        chosen = page.get_by_label("Room", exact=True).get_by_text("room-0000")

        def clicked() -> bool:
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.wait_for_timeout(500)
            return chosen.is_visible()

        eventually(clicked, "the room in the middle is chosen, once it is drawn")


def test_a_map_without_rooms_and_a_system_without_a_map_are_said(site: Site) -> None:
    site.stage.encoded = False
    with site.page("/map") as page:
        page.get_by_text("No room is on the map yet.").wait_for()
        site.stage.takes_map = False
        page.get_by_text("The system gives no map: no such path: /v1/map").wait_for()


def test_an_unknown_viewer_id_that_is_too_long_is_explained(site: Site) -> None:
    with site.page("/viewer?a=" + "x" * 200) as page:
        page.locator(".tc-why.bad:visible").first.wait_for()


def test_health_says_what_is_wrong(site: Site) -> None:
    site.stage.dead_rooms = 2
    with site.page("/health") as page:
        page.locator(".tc-tile", has_text="dead rooms").locator(".tc-bad").get_by_text("2").wait_for()
        page.get_by_text("room-worker 0").first.wait_for()
        page.get_by_text("viewer-events").wait_for()
        page.locator(".tc-chart canvas").first.wait_for()


def test_versions_are_listed_put_live_and_rolled_back(site: Site) -> None:
    with site.page("/health") as page:
        models = page.get_by_label("Model versions")
        models.get_by_text("m1796143850 answers").wait_for()
        models.get_by_text("gain 0.031").wait_for()
        models.get_by_text("m1796143900 refused").wait_for()
        models.get_by_text("the candidate is no better").wait_for()
        models.get_by_role("button", name="put live").first.click()
        page.get_by_text("Put m1796143900 live?").wait_for()
        page.get_by_role("button", name="No").click()
        page.get_by_text("Put m1796143900 live?").wait_for(state="hidden")
        assert site.stage.listed_versions().answers == "m1796143850", "nothing is done before it is meant"
        models.get_by_role("button", name="put live").first.click()
        page.get_by_role("button", name="Yes").click()
        models.get_by_text("m1796143900 answers").wait_for()
        page.get_by_text("m1796143900 is live: put live by hand").wait_for()
        models.get_by_role("button", name="roll back").click()
        page.get_by_role("button", name="Yes").click()
        models.get_by_text("m1796143790 answers").wait_for()
        assert page.get_by_role("button", name="kill").count() == 0, "that is for a demo"


def test_a_process_of_a_demo_is_killed_and_the_clock_runs_until_another_works(site: Site) -> None:
    stage = site.stage
    with subprocess.Popen(["sleep", "300"]) as victim:
        stage.pids["room-worker 0"] = victim.pid
        forgiven: list[int] = []

        def killed(pid: int) -> None:
            forgiven.append(pid)
            threading.Timer(1.0, stage.pids.update, [{"room-worker 0": 4_242}]).start()

        control = DemoControl(stage.status, killed)
        options, fds = ["--control-fd", str(control.theirs.fileno())], [control.theirs.fileno()]
        with (
            contextlib.closing(control),
            FakeApi(stage) as api,
            console_process(api.url, api.admin_url, options, fds) as console,
            Site(console.url, stage, site.browser).page("/health") as page,
        ):
            page.get_by_role("button", name="kill room-worker 0").click()
            page.get_by_text("Kill room-worker 0?").wait_for()
            page.get_by_role("button", name="Yes").click()
            page.locator(".tc-watch.done").wait_for()
            steps = page.get_by_label("Processes").locator(".tc-steps")
            steps.get_by_text(f"pid {victim.pid} killed").wait_for()
            steps.get_by_text("pid 4242, posts after").wait_for()
            assert victim.wait(10) == -signal.SIGKILL
            assert forgiven == [victim.pid]
            assert float(page.locator(".tc-watch").inner_text().split()[0]) >= 1.0


def test_keys_lead_to_every_view_and_to_where_one_types(site: Site) -> None:
    with site.page("/") as page:
        page.locator(".tc-row").first.wait_for()
        page.keyboard.press("/")
        page.wait_for_function("document.activeElement.getAttribute('aria-label') === 'chat line'")
        page.keyboard.type("123")  # in a field, keys are letters
        assert page.get_by_label("chat line", exact=True).input_value() == "123"
        page.locator("h2").first.click()
        page.evaluate("document.activeElement.blur()")
        for name, row in (("2", ".tc-item"), ("3", ".tc-steer"), ("4", ".tc-map"), ("5", ".tc-tile"), ("1", ".tc-row")):
            page.keyboard.press(name)
            page.locator(row).first.wait_for()
        page.keyboard.press("t")
        page.keyboard.press("t")
        page.locator("body.body--dark").wait_for()
        page.reload()
        page.locator("body.body--dark").wait_for()
        page.keyboard.press("?")
        page.get_by_text("another theme").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("another theme").wait_for(state="hidden")
        page.locator(".tc-row button").nth(1).focus()
        page.keyboard.press("Enter")
        page.wait_for_function("[...document.querySelectorAll('input')].some(e => e.value === 'room-0001')")


def test_a_system_that_is_not_up_is_waited_for(browser: Browser) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with console_process(url) as console, Site(console.url, Stage(), browser).page("/") as page:
        page.get_by_text(f"nothing answers at {url}").wait_for()
        page.get_by_text("`tidecast up` starts the system", exact=False).wait_for()
        assert page.locator(".q-skeleton:visible").count() > 0
        with FakeApi(Stage(), port) as api:
            page.locator(".tc-row").first.wait_for()
            page.get_by_text("nothing answers at").wait_for(state="hidden")
            api.stage.up = False
            page.get_by_text("not ready: still reading room states and profiles").wait_for()
            assert page.locator(".stale .tc-row").count() > 0, "what was known stays, and is said to be old"
            page.get_by_text("What stands below is of").wait_for()
            api.stage.up = True
            page.get_by_text("still reading room states and profiles").wait_for(state="hidden")


def test_nobody_is_asked_while_nobody_looks_and_no_more_for_two_tabs(site: Site) -> None:
    asked = site.stage.asked
    with site.page("/") as first, site.page("/") as second:
        for page in (first, second):
            page.locator(".tc-row").first.wait_for()
        before = asked["/v1/rooms"], asked["/readyz"]
        first.wait_for_timeout(3_000)
        rooms, ready = asked["/v1/rooms"] - before[0], asked["/readyz"] - before[1]
        assert abs(rooms - ready) <= 1
        assert rooms <= 5, "two tabs, one question a second"
    with site.page("/health") as last:
        last.locator(".tc-tile").first.wait_for()
        since = asked["/v1/rooms"]
        last.wait_for_timeout(1_500)
        assert asked["/v1/rooms"] == since, "no tab shows rooms"
        last.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        last.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        last.wait_for_timeout(1_500)
        since = asked.total()
        last.wait_for_timeout(1_500)
        assert asked.total() == since, "the only tab is hidden"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order_while_somebody_looks(number: signal.Signals, browser: Browser) -> None:
    with FakeApi(Stage()) as api, console_process(api.url, api.admin_url) as console:
        page = browser.new_page()
        page.goto(console.url)
        page.locator(".tc-row").first.wait_for()
        assert console.end(number) == (0, "")
        page.close()


def test_a_taken_port_is_left_for_another_one_unless_it_was_asked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "deploy.cli", "console", "--no-browser", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"127.0.0.1 port {port} cannot be had" in done.stderr


OF_A_DEMO = """
import signal, sys
from pathlib import Path
from deploy.config.settings import Settings
from deploy.demo.console_page import ConsolePage
print(ConsolePage(["console", "--no-browser"], Settings(), Path(sys.argv[1])).url, flush=True)
signal.pause()
"""


def test_the_console_of_a_killed_demo_ends_with_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", OF_A_DEMO, str(tmp_path / "console.log")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        url = demo.stdout.readline().strip()
        await_true("the console answers", lambda: answers(url))
        demo.kill()
    await_true("the console has ended", lambda: not answers(url))


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def await_true(what: str, holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)
