"""Tests of rooms found by a text: by what is said there now, never an ended one, with a true reason for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.answers.search import Asked, Search, SearchAnswer
from actors.requests.filters import Filters
from actors.requests.text_vectors import TextVector
from streaming.errors import RequestError
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis, text_vector


def search(replica: Replica, *axes: int, **asked: Any) -> SearchAnswer:
    vector = asked.pop("vector", None) or text_vector(*axes)
    searched = Search(replica.recommender, title_weight=0.4)
    return searched.found(Asked(asked.pop("text", "baking"), **asked), vector)


def found(replica: Replica, *axes: int, **asked: Any) -> list[str]:
    return [item.room for item in search(replica, *axes, **asked).rooms]


@pytest.fixture
def replica() -> Replica:
    replica = Replica()
    for number in range(AXES):
        replica.room(f"r{number}", title_vector=axis(number))
    return replica


def test_a_room_is_found_by_what_is_said_there_from_the_state_that_brings_it(replica: Replica) -> None:
    assert found(replica, 3, limit=1) == ["r3"]
    replica.room("r5", title_vector=axis(5), chat_vector=axis(3))
    first, second = search(replica, 3, limit=2).rooms
    assert [(first.room, first.reason), (second.room, second.reason)] == [
        ("r3", 'the title is like "baking"'),
        ("r5", 'what is said here is like "baking"'),
    ]
    assert (first.source, second.source) == ("titled", "said")
    assert second.score == pytest.approx(0.6 / np.hypot(0.6, 0.4), abs=1e-3)
    replica.room("r5", title_vector=axis(5), chat_vector=axis(2))  # they talk of something else by now
    assert {item.reason for item in search(replica, 3).rooms if item.room == "r5"} == {"live now"}


def test_an_ended_room_is_never_found_nor_what_was_said_in_a_slot_before(replica: Replica) -> None:
    assert found(replica, 3, limit=1) == ["r3"]
    replica.room("r3", status="ended", title_vector=axis(3))
    assert "r3" not in found(replica, 3)
    replica.room("next", title_vector=b"")  # takes the slot, and has nothing to be compared yet
    answer = search(replica, 3)
    assert "next" not in [item.room for item in answer.rooms]
    assert answer.live_rooms == AXES
    assert len(answer.rooms) == AXES - 1
    replica.room("next", title_vector=axis(3))
    assert found(replica, 3, limit=1) == ["next"]


@pytest.mark.parametrize("version", ["v0", "one"])
def test_no_version_of_the_models_changes_what_is_found(replica: Replica, version: str) -> None:
    before = [(item.room, item.score) for item in search(replica, 3, 5).rooms]
    if version == "one":
        put_live(replica, FakeVersion("one"))
    answer = search(replica, 3, 5)
    assert [(item.room, item.score) for item in answer.rooms] == before
    assert {answer.model_version, *(item.receipt.model_version for item in answer.rooms)} == {version}
    assert (answer.text, answer.encoder_version) == ("baking", "test")


def test_rooms_of_another_encoder_are_not_compared(replica: Replica) -> None:
    replica.room("other", title_vector=axis(3), encoder_version="another")
    assert "other" not in found(replica, 3)
    assert found(replica, vector=text_vector(3, version="another")) == [], "the vectors in use are not its encoder's"
    assert "other" not in found(replica, 3)
    assert found(replica, vector=TextVector(np.ones(3, np.float32), "test")) == []


def test_before_any_room_has_a_vector_nothing_is_found() -> None:
    assert found(Replica(), 1) == []
    replica = Replica()
    replica.room("silent", title_vector=b"")
    assert found(replica, 1) == []
    replica.room("loud", title_vector=axis(1))
    assert found(replica, 1) == ["loud"]


def test_filters_narrow_it_and_mature_rooms_are_only_found_when_asked_for(replica: Replica) -> None:
    replica.room("adult", title_vector=axis(3), mature=True)
    replica.room("chess", title_vector=axis(4), category="Chess", language="pt-BR", tags=("calm",))
    assert found(replica, 3, limit=1) == ["r3"]
    assert set(found(replica, 3, limit=2, filters=Filters(mature="any"))) == {"r3", "adult"}
    for filters in (Filters(category="chess"), Filters(language="pt"), Filters(tags=("Calm",))):
        assert found(replica, 3, filters=filters) == ["chess"]
    assert "r3" not in found(replica, 3, exclude_streamers=("streamer of r3",))


def test_a_streamer_is_found_by_the_whole_id(replica: Replica) -> None:
    first, *others = search(replica, 3, text="streamer of r6").rooms
    assert (first.room, first.source, first.reason, first.score) == (
        "r6", "named", "the streamer is streamer of r6", 1.0,
    )  # fmt: skip
    assert others[0].room == "r3"
    assert found(replica, 3, text="streamer of r6", exclude_streamers=("streamer of r6",), limit=1) == ["r3"]


def test_pages_have_no_room_twice_though_the_rooms_change(replica: Replica) -> None:
    for number in range(30):
        replica.room(f"more{number}", title_vector=axis(number % AXES))
    shown: list[str] = []
    cursor: Any = ""
    while cursor is not None:
        page = search(replica, 3, limit=7, cursor=cursor)
        shown += [item.room for item in page.rooms]
        replica.room("r2", title_vector=axis(3))
        cursor = page.cursor
    assert len(shown) == len(set(shown)) == AXES + 30
    first = search(replica, 3, limit=7, cursor="")
    with pytest.raises(RequestError, match="another viewer or text"):
        search(replica, 3, text="football", cursor=first.cursor)
    with pytest.raises(RequestError, match="other filters"):
        search(replica, 3, filters=Filters(language="en"), cursor=first.cursor)


def test_equals_come_in_the_same_order_at_every_limit_and_in_every_replica() -> None:
    replicas = [Replica(), Replica()]
    for replica, numbers in zip(replicas, (range(40), reversed(range(40))), strict=True):
        for number in numbers:
            replica.room(f"r{number}", title_vector=axis(1))
    assert found(replicas[0], 1, limit=30) == found(replicas[1], 1, limit=40)[:30]
    assert found(replicas[0], 1, limit=5) == found(replicas[0], 1, limit=30)[:5]
