"""A steer pulls one answer towards a text and liked rooms, away from disliked ones, and changes nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Recommender
from actors.recommend.schema import MAX_LIMIT, Answer, Query
from actors.requests.filters import Filters
from actors.requests.steer import Steer, Steered
from actors.requests.text_vectors import TextVector
from actors.settings import RecommendConfig
from streaming.errors import RequestError
from streaming.events import ActivityBucket, Impression, StreamerId, ViewerRule
from streaming.log.codec import Decoder
from streaming.log.topics import IMPRESSIONS
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis, text_vector
from tests.untrained import untrained
from training.inference.served_model import Version

ROOMS = 400  # more than all lists of candidates together have
VERSIONS = ("v0", "fake", "untrained")


def platform(version: str = "v0") -> Replica:
    """A replica with rooms about eight topics; of topic 7 there are few, and nobody comes to them."""
    replica = Replica(config=RecommendConfig(pool=20, nearest=10, ranked=30))
    bucket_ms = replica.clock.now_ms() // 10_000 * 10_000
    for number in range(ROOMS):
        topic = number % (AXES - 1)
        replica.room(f"r{number}", title_vector=axis(topic), recent=(ActivityBucket(bucket_ms, 5 + number % 9, 2),))
    for number in range(4):
        replica.room(f"quiet{number}", title_vector=axis(7))
    replica.viewer("v", "r1", "r8")
    replica.texts.put("cosy pottery", text_vector(7))
    if version == "fake":
        put_live(replica, FakeVersion("one"))
    elif version == "untrained":
        streamers = [f"streamer of r{number}" for number in range(ROOMS)]
        put_live(replica, Version(untrained("one", streamers, "test", AXES)))  # type: ignore[arg-type]
    return replica


def answer(replica: Replica, **query: Any) -> Answer:
    asked = Query(**{"viewer": "v", "limit": 20, **query})
    found = msgspec.json.decode(replica.recommender.recommend_json(asked), type=Answer, strict=True)
    again = replica.recommender.recommend(asked)
    assert [item.room for item in again.rooms] == [item.room for item in found.rooms]
    return found


def quiet(found: Answer) -> int:
    """The number of rooms about topic 7."""
    return sum(item.room.startswith("quiet") for item in found.rooms)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_text_brings_rooms_that_nobody_comes_to_and_they_say_why(version: str) -> None:
    replica = platform(version)
    assert quiet(answer(replica)) == 0
    steered = answer(replica, steer=Steer(text="cosy  pottery\n"))
    assert quiet(steered) == 4
    assert {item.reason for item in steered.rooms if item.room.startswith("quiet")} == {
        'like "cosy pottery", as you asked'
    }
    assert steered.steer == Steered(text="used", ended=[], unknown=[])
    assert quiet(answer(replica)) == 0  # of this request alone
    assert answer(replica).steer is UNSET


@pytest.mark.parametrize("version", VERSIONS)
def test_a_liked_room_brings_those_like_it_and_is_named(version: str) -> None:
    replica = platform(version)
    steered = answer(replica, steer=Steer(liked=("quiet1",)))
    assert quiet(steered) == 4
    sources = {item.source: item.reason for item in steered.rooms if item.room == "quiet2"}
    assert sources == {"steered": "like streamer of quiet1, as you asked"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_disliked_room_is_left_out_and_those_like_it_fall(version: str) -> None:
    replica = platform(version)
    before = answer(replica, viewer="stranger", limit=MAX_LIMIT)
    disliked = before.rooms[0].room
    topic = int(disliked[1:]) % (AXES - 1)
    after = answer(replica, viewer="stranger", limit=MAX_LIMIT, steer=Steer(disliked=(disliked,), strength=3))

    def alike(found: Answer) -> int:
        return sum(int(item.room.removeprefix("r")) % (AXES - 1) == topic for item in found.rooms[:15])

    assert disliked not in [item.room for item in after.rooms]
    assert alike(after) < alike(before)
    assert after.steer == Steered(ended=[], unknown=[])
    assert all("as you asked" not in item.reason for item in after.rooms)  # nothing is said to be liked


@pytest.mark.parametrize("version", VERSIONS)
def test_strength_says_how_much_and_terms_show_it(version: str) -> None:
    replica = platform(version)
    terms = {}
    for strength in (0.0, 1.0, 2.0):
        asked = Query(viewer="v", limit=MAX_LIMIT, explain=True, steer=Steer(text="cosy pottery", strength=strength))
        rooms = replica.recommender.recommend(asked).rooms
        by_room = {item.room: item for item in rooms}
        if version == "v0":
            assert all(item.score == pytest.approx(sum(item.terms.values()), abs=1e-3) for item in rooms)  # type: ignore[union-attr]
        terms[strength] = by_room["quiet0"].terms["steer"] if "quiet0" in by_room else 0.0  # type: ignore[index]
    assert terms[0.0] == 0
    assert terms[2.0] == pytest.approx(2 * terms[1.0], rel=1e-5) != 0
    plain = [item.room for item in answer(replica).rooms]
    assert [item.room for item in answer(replica, steer=Steer(text="cosy pottery", strength=0)).rooms] == plain


def test_without_the_encoder_the_answer_says_that_the_text_did_not_count() -> None:
    replica = platform()
    found = answer(replica, steer=Steer(text="never heard of", liked=("quiet1",)))
    assert found.steer == Steered(text="unavailable", ended=[], unknown=[])
    assert quiet(found) == 4  # by the liked room
    plain = answer(replica, steer=Steer(text="never heard of"))
    assert [item.room for item in plain.rooms] == [item.room for item in answer(replica).rooms]


def test_ended_rooms_pull_as_they_were_and_unknown_ones_are_named() -> None:
    replica = platform()
    replica.room("quiet0", title_vector=axis(7), status="ended")
    replica.room("silent", title_vector=b"")
    replica.room("other", title_vector=axis(7), encoder_version="another")
    found = answer(replica, steer=Steer(liked=("quiet0", "never", "quiet0", "silent"), disliked=("other",)))
    assert found.steer == Steered(ended=["quiet0"], unknown=["never", "silent", "other"])
    assert "quiet0" not in [item.room for item in found.rooms]
    assert quiet(found) == 3
    assert "other" not in [item.room for item in found.rooms]  # disliked all the same


def test_filters_pages_and_own_rules_hold_under_a_steer() -> None:
    replica = platform()
    replica.room("pt", title_vector=axis(7), language="pt")
    replica.room("adult", title_vector=axis(7), mature=True)
    steer = Steer(text="cosy pottery", strength=4)
    assert "adult" not in [item.room for item in answer(replica, steer=steer, limit=MAX_LIMIT).rooms]
    assert [item.room for item in answer(replica, steer=steer, filters=Filters(language="pt")).rooms] == ["pt"]
    first = answer(replica, steer=steer, limit=3, cursor="")
    second = answer(replica, steer=steer, limit=3, cursor=first.cursor)
    assert not {item.room for item in first.rooms} & {item.room for item in second.rooms}
    blocked = StreamerId("streamer of quiet1")
    replica.viewer("v", "r1", rules=[ViewerRule("block", blocked, replica.clock.now_ms(), in_force=True)])
    found = answer(replica, steer=Steer(liked=("quiet1",)))
    assert "quiet1" not in [item.room for item in found.rooms]
    assert quiet(found) == 3
    assert all(blocked not in item.reason for item in found.rooms)


def test_a_steer_where_nothing_can_be_compared_or_shown_changes_nothing() -> None:
    replica = platform()
    assert answer(replica, steer=Steer(text="cosy pottery"), filters=Filters(category="none")).rooms == []
    replica.texts.put("wide", TextVector(np.ones(3, np.float32), "test"))
    assert quiet(answer(replica, steer=Steer(text="wide"))) == 0
    silent = Replica()
    assert answer(silent, steer=Steer(liked=("a",))).rooms == []
    silent.room("a", title_vector=b"")
    silent.texts.put("cosy pottery", text_vector(7))
    found = answer(silent, steer=Steer(text="cosy pottery", liked=("a",)))
    assert [item.room for item in found.rooms] == ["a"]
    assert found.steer == Steered(text="used", ended=[], unknown=["a"])


def test_an_impression_says_that_its_answer_was_steered() -> None:
    replica = platform()
    impressions = Impressions(1.0, 10)
    recommender = Recommender(
        replica.tables, RecommendConfig(), replica.metrics, replica.clock, impressions, texts=replica.texts
    )
    recommender.recommend(Query(viewer="v"))
    recommender.recommend(Query(viewer="v", steer=Steer(liked=("quiet1",))))
    written: list[Impression] = [Decoder(IMPRESSIONS)(value) for _, value in impressions.take(10)]
    assert [one.steered for one in written] == [False, True]


@pytest.mark.parametrize("text", ["\u200b", " \n ", "\x00\x01"], ids=["zero width", "blank", "controls"])
def test_a_text_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"steer.text has nothing in it"):
        answer(platform(), steer=Steer(text=text))


def test_a_steer_without_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing pulls"):
        Steer()
