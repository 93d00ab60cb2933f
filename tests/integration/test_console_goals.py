"""The console's sliders for goals in a real browser, with made-up rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.console_site import Site, curl_of, rooms_of
from tests.eventually import eventually
from tidecast_client import Goals

if TYPE_CHECKING:
    from playwright.sync_api import Locator

DRAG = """async slider => {
  for (const value of ["1", "2.5", "4", "6"]) {
    slider.value = value;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    await new Promise(done => setTimeout(done, 130));
  }
}"""
STEPS = 4


def moves_of(list_panel: Locator) -> list[str]:
    return [text.replace("\n", " ") for text in list_panel.locator(".tc-item .tc-move").all_inner_texts()]


def moved(before: list[str], after: list[str]) -> list[str]:
    places = [before.index(room) if room in before else None for room in after]
    return [
        "only here" if was is None else "" if was == place else f"{'▲▼'[was < place]}{abs(was - place)}"
        for place, was in enumerate(places)
    ]


def test_goals_are_asked_for_once_a_slider_rests_and_what_moved_is_shown(site: Site) -> None:
    site.stage.learned = True
    with site.page("/viewer?a=v000017") as page:
        goals, left = page.get_by_label("Goals"), page.get_by_label("Viewer", exact=True)
        left.locator(".tc-item").first.wait_for()
        sliders = goals.get_by_role("slider")
        assert [sliders.nth(at).get_attribute("aria-label") for at in range(sliders.count())] == [
            *Goals.__struct_fields__
        ]
        assert not goals.get_by_role("button", name="reset").is_visible()
        before = rooms_of(left)
        goals.get_by_role("slider", name="stay").focus()
        for _ in range(8):
            page.keyboard.press("ArrowRight")
        goals.get_by_text("4", exact=True).wait_for()
        left.locator(".tc-move.up").first.wait_for()
        eventually(lambda: moves_of(left) == moved(before, rooms_of(left)), "each room says how far it has moved")
        assert rooms_of(left) != before
        assert '"goals":{"stay":4.0}' in curl_of(page, left)
        assert not goals.get_by_text("Goals have no effect").is_visible()
        goals.get_by_role("button", name="reset").click()
        page.wait_for_function(
            "rooms => [...document.querySelectorAll('.tc-item .tc-mono')].map(e => e.innerText).join() === rooms",
            arg=",".join(before),
        )
        eventually(lambda: goals.get_by_role("slider", name="stay").input_value() == "0", "the slider goes back")
        assert "goals" not in curl_of(page, left)


def test_the_lists_are_asked_for_once_for_a_slider_that_is_dragged(site: Site) -> None:
    site.stage.learned = True
    asked: list[str] = []
    site.stage.on_query = lambda query: asked.append(str(query.goals)) if query.goals is not None else None
    with site.page("/viewer?a=v000017") as page:
        page.locator(".tc-item").first.wait_for()
        page.get_by_role("slider", name="stay").evaluate(DRAG)
        page.locator(".tc-move.up").first.wait_for()
        eventually(lambda: "stay=6.0" in asked[-1], "the place where it was let go is asked for")
        assert len(set(asked)) < STEPS, "not each place on the way: a busy machine may take one for a rest"


def test_the_baseline_ranker_is_said_to_know_no_goals(site: Site) -> None:
    with site.page("/viewer?a=v000017") as page:
        page.locator(".tc-item").first.wait_for()
        goals = page.get_by_label("Goals")
        goals.get_by_role("slider", name="interact").fill("3")
        goals.get_by_text("Goals have no effect: v0 answers").wait_for()
        assert page.locator(".tc-move:visible:not(:empty)").count() == 0, "nothing has moved"
        goals.get_by_role("button", name="reset").click()
        goals.get_by_text("Goals have no effect").wait_for(state="hidden")


def test_a_goal_that_the_version_has_not_learned_is_said(site: Site) -> None:
    site.stage.learned = True
    with site.page("/viewer?a=v000017") as page:
        page.locator(".tc-item").first.wait_for()
        goals = page.get_by_label("Goals")
        goals.get_by_role("slider", name="leave").fill("3")
        goals.get_by_text("Without effect: leave. m1795366627 answers, which has not learned it.").wait_for()
        goals.get_by_role("slider", name="leave").fill("0")
        goals.get_by_text("Without effect").wait_for(state="hidden")


def test_goals_that_are_all_nothing_are_refused_in_words(site: Site) -> None:
    with site.page("/viewer?a=v000017") as page:
        page.locator(".tc-item").first.wait_for()
        page.get_by_role("slider", name="enter").fill("0")
        page.get_by_label("Viewer", exact=True).get_by_text("must be above 0").wait_for()
