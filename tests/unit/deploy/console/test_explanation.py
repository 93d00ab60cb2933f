"""Tests of deploy.console.explanation, list_moves and pages.item_list: what a list says of its rooms."""

from __future__ import annotations

import pytest

from deploy.console.explanation import duration, receipt_times, waterfall
from deploy.console.list_moves import Place, compared, places, reordered
from deploy.console.pages.item_list import item_rows
from deploy.console.pages.score_chart import score_options
from tests.unit.deploy.console.console_world import AT_MS, answer, item, receipt


def test_terms_that_add_up_are_a_waterfall_largest_first() -> None:
    why = waterfall(item(score=2.5, terms={"fresh": 0.5, "visited": 3.0, "crowd": -1.0}))
    assert why.adds_up
    assert [(step.name, step.low, step.high) for step in why.steps] == [
        ("visited", 0.0, 3.0),
        ("crowd", 2.0, 3.0),
        ("fresh", 2.0, 2.5),
    ]


def test_figures_of_a_model_are_bars_of_their_own() -> None:
    why = waterfall(item(score=0.31, terms={"enter": 0.31, "stay": 0.62}))
    assert not why.adds_up
    assert [(step.low, step.high) for step in why.steps] == [(0.0, 0.31), (0.0, 0.62)]
    assert waterfall(item()).steps == ()


def test_chart_ends_with_the_score_where_terms_add_up() -> None:
    options = score_options(item(score=1.5, terms={"visited": 2.0, "crowd": -0.5}))
    assert options["yAxis"]["data"] == ["visited", "crowd", "score"]
    lows, bars = (series["data"] for series in options["series"])
    assert lows == [0.0, 1.5, 0.0]
    assert [bar["label"]["formatter"] for bar in bars] == ["+2.000", "-0.500", "1.500"]
    assert score_options(item(score=0.3, terms={"enter": 0.3, "stay": 0.6}))["yAxis"]["data"] == ["enter", "stay"]


def test_receipt_is_a_time_from_chat_to_servable_to_answer() -> None:
    times = receipt_times(receipt(AT_MS, AT_MS + 300), AT_MS + 1_200)
    assert (times.heard, times.to_servable_ms, times.to_answer_ms) == (True, 300, 900)
    assert times.servable_share == pytest.approx(0.25)
    title = receipt_times(receipt(0, AT_MS), AT_MS + 10)
    assert (title.heard, title.to_servable_ms, title.to_answer_ms) == (False, 0, 10)


def test_clocks_that_differ_make_no_time_negative() -> None:
    times = receipt_times(receipt(AT_MS + 50, AT_MS), AT_MS - 70)
    assert (times.to_servable_ms, times.to_answer_ms, times.servable_share) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("ms", "words"), [(0, "0 ms"), (999, "999 ms"), (2_340, "2.3 s"), (240_000, "4 min"), (7_200_000, "2 h")]
)
def test_durations_are_said_in_words(ms: float, words: str) -> None:
    assert duration(ms) == words


def test_places_in_two_lists() -> None:
    found = places(answer("a", "r1", "r2", "r3").rooms, answer("b", "r3", "r2", "r4").rooms)
    assert found == {"r1": Place(1, None), "r2": Place(2, 2), "r3": Place(3, 1), "r4": Place(None, 3)}
    assert [place.words for place in found.values()] == ["new", "=", "▼2", "gone"]
    assert Place(1, 4).words == "▲3"
    assert reordered(["a", "b", "c"], ["x", "a", "c", "b"]) == 2


def test_cards_say_what_differs_from_the_list_beside() -> None:
    one = answer("a", "r1", "r2")
    rows = item_rows(one, places(one.rooms, answer("b", "r2").rooms), picked="r2")
    assert [(row["rank"], row["move"], row["tone"], row["picked"]) for row in rows] == [
        (1, "only here", "new", False),
        (2, "▼1", "down", True),
    ]
    assert [row["move"] for row in item_rows(one, {}, "")] == ["", ""], "without another list nothing is marked"


def test_two_lists_are_compared_in_words() -> None:
    here = places([item("a"), item("b"), item("c")], [item("b"), item("a"), item("d")])
    assert compared(here.values()) == "beside the other list: 2 in another place, 1 only here"
    same = places([item("a"), item("b")], [item("a"), item("b"), item("c")])
    assert compared(same.values()) == "the same rooms in the same order as in the other list"
