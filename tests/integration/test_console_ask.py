"""The console's page Ask in a real browser, with made-up rooms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from deploy.console.ask.advice import AGAIN, OLDER
from deploy.console.ask.steer_effect import TEXT_AWAY
from tests.console_site import WIDTHS, Site, curl_of, overflow, rooms_of
from tests.console_steer import AWAY

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

WAITS_S = 2.0  # as long as search.timeout_ms lets a text wait
STEERED = "/ask?viewer=v000017&text=chess"


def search_of(page: Page) -> Locator:
    return page.get_by_label("Search", exact=True)


def steered_of(page: Page) -> Locator:
    return page.get_by_label("With the steer")


def test_rooms_are_found_by_a_text_with_score_reason_and_receipt(site: Site) -> None:
    with site.page("/ask") as page:
        search = search_of(page)
        search.get_by_text("Say in your own words").wait_for()
        assert not search.get_by_role("button", name="copy as curl").is_visible()
        page.keyboard.press("/")
        page.wait_for_function("document.activeElement.getAttribute('aria-label') === 'search'")
        page.keyboard.type("kettle lo-fi")
        search.get_by_text("the 10 most like it").wait_for()
        first = search.locator(".tc-item").first
        first.get_by_text("Late night lo-fi").wait_for()
        first.get_by_text('what is said here is like "kettle lo-fi"').wait_for()
        first.get_by_text("score 0.800").wait_for()
        first.get_by_text("receipt: chat of").wait_for()
        assert search.get_by_text("live now").count() > 0, "what is not like it is not passed for it"
        page.wait_for_url("**/ask?q=kettle+lo-fi&viewer=v000017")
        assert curl_of(page, search).endswith("/v1/search?q=kettle+lo-fi&limit=10'")
        search.get_by_role("button", name="steer the list by this text").click()
        steered_of(page).locator(".tc-pull").first.wait_for()
        assert page.get_by_label("towards a text").input_value() == "kettle lo-fi"
        site.stage.titles[1] = "another title"
        first.get_by_text("another title").wait_for(state="hidden")  # the search goes on as chat does


def test_a_list_is_shown_without_and_with_a_text_and_what_has_moved(site: Site) -> None:
    with site.page(STEERED) as page:
        steered, plain = steered_of(page), page.get_by_label("Without the steer")
        steered.locator(".tc-pull").first.wait_for()
        steered.get_by_text("came,").wait_for()
        steered.get_by_text("pull is what the steer adds to a room's score").wait_for()
        here, there = rooms_of(steered), rooms_of(plain)
        assert here != there
        for place, card in enumerate(steered.locator(".tc-item").all()):
            was = there.index(here[place]) if here[place] in there else None
            moved = "new" if was is None else "" if was == place else f"{'▲▼'[was < place]}{abs(was - place)}"
            assert card.locator(".tc-move").inner_text() == moved
            about = "chess" in card.inner_text().lower()
            assert card.locator(".tc-pull span").inner_text().startswith("pull +" if about else "pull -")
        assert plain.locator(".tc-move:text-is('leaves')").count() == len(set(there) - set(here)) > 0
        top = plain.locator(".tc-item", has_text=here[0])
        if top.count():
            assert top.locator(".tc-move").inner_text() in ("", "→ 1")
        lists = site.stage.asked["/v1/recommend"], site.stage.asked["/v1/recommend:batch"]
        page.wait_for_timeout(2_500)
        assert site.stage.asked["/v1/recommend"] == lists[0], "the list without it comes along"
        assert site.stage.asked["/v1/recommend:batch"] > lists[1]
        steered.get_by_role("button", name="why").first.click()
        steered.locator("canvas").wait_for()
        assert "pull" not in plain.inner_text()
        body = json.loads(curl_of(page, steered).partition(" -d ")[2].strip("'"))
        assert body["steer"] == {"text": "chess"}
        assert body["explain"] is True
        assert "steer" not in curl_of(page, plain)


def test_rooms_are_liked_and_disliked_from_any_list_and_from_the_live_ones(site: Site) -> None:
    with site.page("/ask?q=chess&viewer=v000017") as page:
        steered, plain = steered_of(page), page.get_by_label("Without the steer")
        steered.get_by_text("Give a text, or press").wait_for()
        first = plain.locator(".tc-item").first
        room = first.locator(".tc-mono").inner_text()
        first.get_by_role("button", name="dislike").click()
        steered.locator(".tc-pull").first.wait_for()
        assert room not in rooms_of(steered), "disliked rooms are not in the answer"
        assert first.locator(".tc-move").inner_text() == "leaves"
        assert first.get_by_role("button", name="dislike").get_attribute("aria-pressed") == "true"
        page.wait_for_url(f"**/ask?q=chess&viewer=v000017&disliked={room}")
        found = search_of(page).locator(".tc-item").nth(3)
        other = found.locator(".tc-mono").inner_text()
        found.get_by_role("button", name="like", exact=True).click()
        page.wait_for_url(f"**&liked={other}&disliked={room}")
        first.get_by_role("button", name="like", exact=True).click()  # another mind
        page.wait_for_url(f"**&liked={other},{room}")
        page.get_by_role("combobox", name="away from rooms").focus()
        page.keyboard.type("night lo-fi and a kettle that will not boil · room-0011")
        page.get_by_role("option").first.wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**&liked={other},{room}&disliked=room-0011")
        page.keyboard.press("Escape")
        page.get_by_role("slider", name="strength").fill("0.5")
        page.wait_for_url("**&disliked=room-0011&strength=0.5")
        body = curl_of(page, steered)
        assert f'"liked":["{other}","{room}"],"disliked":["room-0011"],"strength":0.5' in body
        page.get_by_label("Steer", exact=True).get_by_role("button", name="clear", exact=True).click()
        steered.get_by_text("Give a text, or press").wait_for()
        page.wait_for_url("**/ask?q=chess&viewer=v000017")
        assert page.get_by_role("slider", name="strength").input_value() == "1"


def test_an_address_asks_all_of_it_again(site: Site) -> None:
    address = "/ask?q=chess&viewer=nobody&text=kettle&liked=room-0003,gone&disliked=room-0005&strength=2"
    with site.page(address) as page:
        steered = steered_of(page)
        steered.locator(".tc-pull").first.wait_for()
        page.get_by_label("Without the steer").get_by_text("no profile: a cold-start viewer").wait_for()
        steered.get_by_text("Nobody knows gone, or nothing was said there yet: it pulls nothing.").wait_for()
        page.get_by_text("Restoring a 1974 reel-to-reel, motor today · room-0003").wait_for()
        assert page.get_by_label("search", exact=True).input_value() == "chess"
        assert page.get_by_role("slider", name="strength").input_value() == "2"
        assert '"strength":2.0' in curl_of(page, steered)


def test_nothing_is_blank_while_the_encoder_reads(site: Site) -> None:
    with site.page("/ask?viewer=v000017") as page:
        plain = page.get_by_label("Without the steer")
        plain.locator(".tc-item").first.wait_for()
        site.stage.reads_for_s = WAITS_S
        for panel, name in ((search_of(page), "search"), (steered_of(page), "towards a text")):
            field = page.get_by_label(name, exact=True)
            field.fill("kettle")
            panel.get_by_text("waits for the Encoder …").wait_for()
            assert panel.locator(".q-skeleton:visible").count() > 0
            assert plain.locator(".tc-item").count() > 0
            panel.locator(".tc-pull").first.wait_for()
            field.fill("chess")
            panel.get_by_text("waits for the Encoder …").wait_for()
            assert panel.locator(".tc-awaited .tc-item").count() > 0, "what came before stays, and is said to be old"
            page.wait_for_function("!document.querySelector('.tc-awaited')")


def test_an_encoder_that_is_too_slow_is_said_and_waited_for(site: Site) -> None:
    with site.page("/ask?q=chess&viewer=v000017&text=kettle") as page:
        search, steered = search_of(page), steered_of(page)
        search.locator(".tc-item").first.wait_for()
        site.stage.reads_texts = False
        search.get_by_text(f"{AWAY}. {AGAIN}").wait_for()
        assert search.locator(".tc-item").count() > 0, "what was found stays"
        steered.get_by_text(TEXT_AWAY).wait_for()
        site.stage.reads_texts = True
        search.get_by_text(AWAY).wait_for(state="hidden")
        steered.get_by_text(TEXT_AWAY).wait_for(state="hidden")


def test_a_system_without_search_and_a_viewer_that_is_none_are_said(site: Site) -> None:
    site.stage.takes_search = False
    with site.page("/ask?q=chess&viewer=" + "x" * 200) as page:
        search_of(page).get_by_text(f"There is no search here: no such path: /v1/search. {OLDER}").wait_for()
        page.get_by_label("Without the steer").locator(".tc-why.bad:visible").first.wait_for()
        page.get_by_label("viewer", exact=True).fill("")
        page.get_by_text("Type a viewer's id above.").wait_for()
    site.stage.takes_search, site.stage.encoded = True, False
    with site.page("/ask?q=another") as page:
        search_of(page).get_by_text("No live room has a vector yet.").wait_for()


def test_it_begins_with_somebody_whom_the_system_knows(site: Site) -> None:
    with site.page_of_a_new_console("/ask") as page:
        page.get_by_text("has a profile").wait_for()
        assert page.get_by_label("viewer", exact=True).input_value() == "v000042"
        page.get_by_role("button", name="somebody known").click()
        page.wait_for_url("**/ask?viewer=v000007")


@pytest.mark.parametrize("width", WIDTHS)
def test_text_of_strangers_stays_text_on_the_page(site: Site, width: int) -> None:
    hostile = "<img src=x onerror='window.hit = 1'> {{ window.hit = 1 }} " + "W" * 900
    site.stage.titles |= dict.fromkeys(range(40), hostile)
    address = "/ask?viewer=v000017&q=%3Cimg%20src=x%20onerror=window.hit=1%3E&text={{window.hit=1}}&liked=room-0003"
    with site.page(address, width=width) as page:
        for panel in (search_of(page), steered_of(page), page.get_by_label("Without the steer")):
            panel.get_by_text("<img src=x").first.wait_for()
        page.get_by_role("combobox", name="away from rooms").click()
        page.get_by_role("option").first.wait_for()
        assert page.evaluate("window.hit") is None
        assert page.locator("main img").count() == 0
        page.keyboard.press("Escape")
        assert overflow(page) == 0


def test_every_field_has_a_name_and_is_reached_by_tab(site: Site) -> None:
    names = {"viewer", "towards a text", "towards rooms", "away from rooms", "strength", "search"}
    with site.page(STEERED) as page:
        steered_of(page).locator(".tc-item").first.wait_for()
        fields = page.locator("main input:visible")
        assert {fields.nth(at).get_attribute("aria-label") for at in range(fields.count())} == names
        reached = set()
        page.get_by_label("viewer", exact=True).focus()
        for _ in range(200):
            reached.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
            page.keyboard.press("Tab")
            if names <= reached:
                break
        assert names <= reached
