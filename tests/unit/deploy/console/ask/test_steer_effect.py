"""Tests of deploy.console.ask.steer_effect: who moves, how far, by what pull."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from actors.requests.steer import Steered
from deploy.console.ask.steer_effect import (
    OF_A_SUM,
    OF_LOG_ODDS,
    TEXT_AWAY,
    Compared,
    effect,
    what_a_pull_is,
    what_does_not_count,
)
from tests.unit.deploy.console.console_world import answer, item
from tidecast_client import Answer


def compared(without: str, steered: str) -> Compared:
    return Compared(answer("v", *without.split()), answer("v", *steered.split()))


def pulled(score: float, **terms: float) -> Answer:
    return msgspec.structs.replace(answer("v"), rooms=[item("r1", score, terms)])


def test_rooms_come_go_and_change_places() -> None:
    made = effect(compared("a b c d", "d a x c y"))
    assert {room: place.words for room, place in made.places.items()} == {
        "d": "▲3",
        "a": "▼1",
        "x": "new",
        "y": "new",
        "c": "▼1",
        "b": "gone",
    }
    assert (made.came, made.went, made.turned) == (2, 1, 3)
    assert made.words == "2 came, 1 went, 3 of the others changed places"


def test_a_room_that_comes_in_front_turns_nobody() -> None:
    made = effect(compared("a b", "x a b"))
    assert (made.came, made.turned) == (1, 0)


def test_a_steer_without_effect_says_so() -> None:
    assert effect(compared("a b", "a b")).words == "no room has moved"


def test_pulls_are_terms_and_the_strongest_is_what_bars_are_drawn_by() -> None:
    steered = msgspec.structs.replace(
        answer("v"), rooms=[item("a", 9.0, {"steer": 3.0}), item("b", 1.0, {"steer": -4.0}), item("c", 1.0, {})]
    )
    made = effect(Compared(answer("v"), steered))
    assert made.pulls == {"a": 3.0, "b": -4.0}
    assert made.strongest == 4.0
    assert effect(compared("a", "a")).strongest == 1.0, "nothing is divided by nothing"


@pytest.mark.parametrize(
    ("steered", "said"),
    [
        (pulled(5.0, category=2.0, steer=3.0), OF_A_SUM),
        (pulled(0.3, enter=0.3, steer=3.0), OF_LOG_ODDS),
        (pulled(0.3, enter=0.3), ""),
        (answer("v", "r1"), ""),
    ],
)
def test_what_a_pull_is_depends_on_whether_terms_add_up(steered: Answer, said: str) -> None:
    assert what_a_pull_is(steered) == said


def test_what_does_not_count_is_said() -> None:
    def said(steered: Steered | msgspec.UnsetType) -> str:
        return " ".join(what_does_not_count(msgspec.structs.replace(answer("v"), steer=steered)))

    assert said(Steered(text="used", ended=[], unknown=[])) == ""
    assert said(Steered(text="unavailable", ended=[], unknown=[])) == TEXT_AWAY
    assert "Nobody knows r1, r2, r3 and 2 more" in said(Steered(ended=[], unknown=["r1", "r2", "r3", "r4", "r5"]))
    assert "Ended, and counted as at the end: r9." in said(Steered(ended=["r9"], unknown=[]))
    assert "older than this console" in said(UNSET)
