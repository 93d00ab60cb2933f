"""Tests of deploy.console.ask.asked: the page's address and what it asks."""

from __future__ import annotations

import msgspec
import pytest
from fastapi.datastructures import QueryParams

from actors.recommend import schema
from deploy.console.ask.asked import LISTED, PATH, Asked, asked_of

WHOLE = Asked("chess & go", "v,1", "cars, on dirt", ("a,b", "c%2C", "ü ?"), ("d",), 2.5)


def read(address: str) -> Asked:
    path, _, query = address.partition("?")
    assert path == PATH
    given = dict.fromkeys(("q", "viewer", "text", "liked", "disliked", "strength"), "") | dict(QueryParams(query))
    return asked_of(**given, most=4.0)


@pytest.mark.parametrize("asked", [WHOLE, Asked(), Asked(viewer="v", strength=0.0)])
def test_an_address_asks_what_it_was_made_of(asked: Asked) -> None:
    assert read(asked.address) == asked


def test_an_address_says_nothing_of_what_is_so_anyway() -> None:
    assert Asked().address == "/ask"
    assert Asked(search="chess", liked=("r1", "r2")).address == "/ask?q=chess&liked=r1,r2"


@pytest.mark.parametrize("strength", ["", "much", "nan", "-1", "9"])
def test_a_strength_that_is_none_is_the_usual_one(strength: str) -> None:
    assert asked_of(q="", viewer="", text="", liked="", disliked="", strength=strength, most=4.0).strength == 1.0


def test_room_ids_of_an_address_come_once_and_none_is_empty() -> None:
    assert read("/ask?liked=,r1,,r2,r1").liked == ("r1", "r2")


def test_nothing_pulls_until_something_is_given_and_somebody_is_there() -> None:
    assert Asked(text="cars").plain is None
    assert Asked(text="cars").steered is None
    assert Asked(viewer="v", strength=2.0).steered is None
    assert Asked(viewer="v", disliked=("r1",)).steered is not None


def test_the_api_takes_both_queries_and_they_differ_by_the_steer_alone() -> None:
    plain, steered = (
        msgspec.json.decode(msgspec.json.encode(query), type=schema.Query) for query in (WHOLE.plain, WHOLE.steered)
    )
    assert steered.steer is not None
    assert (steered.steer.text, steered.steer.strength) == (WHOLE.text, 2.5)
    assert (steered.steer.liked, steered.steer.disliked) == (WHOLE.liked, WHOLE.disliked)
    assert msgspec.structs.replace(steered, steer=None) == plain
    assert (plain.limit, plain.explain, plain.shown) == (LISTED, True, False)
