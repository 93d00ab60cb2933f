"""Tests that reasons are true: without its cause a room's score falls, and the reason goes. Never a broker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.recommend.reasons import SOURCE_OF
from actors.recommend.recommender import Filters, Query
from actors.recommend.schema import Answer, Item
from actors.settings import RecommendConfig
from actors.state.viewer_taste import MOST_LIKENED, NOBODY, likened
from streaming.events import ActivityBucket, Arrival, StreamerHabit, StreamerId, ViewerId, ViewerProfile
from streaming.log.codec import encode
from streaming.log.topics import VIEWER_PROFILES
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis
from tests.untrained import untrained
from training.inference.causes import MEMORY
from training.inference.served_model import Version
from training.registry.bundle import Bundle
from training.settings import BaselineWeights

HOUR_MS = 3_600_000
CAUSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "visited": ("visited", {"streamer": "streamer of liked"}, "you visited streamer of liked before"),
    "similar": ("content", {"title_vector": axis(3)}, "similar to streamer of liked, where you were"),
    "category": ("category", {"category": "Chess"}, "you watch Chess"),
    "language": ("language", {"language": "pt"}, "in pt, as what you watch"),
    "others": ("arrivals", {"arrivals": 9}, "others came here from streamer of liked"),
    "trending": ("trending", {"recent": "now"}, "trending now"),
    "popular": ("crowd", {"entered": 900}, "popular now"),
    "new": ("fresh", {"started_at_ms": "now"}, "just started"),
}


def platform(model: bool = False, config: RecommendConfig | None = None, **changes: Any) -> Replica:
    """Twelve rooms of which none is like another viewer's taste, and the room x, with a cause or without."""
    replica = Replica(config=config)
    now_ms = replica.clock.now_ms()
    replica.room("liked", category="chess", language="pt", title_vector=axis(3))
    for number in range(12):
        replica.room(f"o{number}", title_vector=axis(1), category=f"c{number % 3}")
    if changes.get("started_at_ms") == "now":
        changes["started_at_ms"] = now_ms - 10_000
    if changes.get("recent") == "now":
        changes["recent"] = (ActivityBucket(now_ms // 10_000 * 10_000, 50, 20),)
    if "arrivals" in changes:
        changes["arrivals"] = (Arrival(now_ms - 9_000, StreamerId("streamer of liked")),) * changes["arrivals"]
    replica.room("x", **{"title_vector": axis(1), "category": "another", **changes})
    replica.viewer("v", "liked", "liked")
    replica.shown("v")
    replica.room("liked", status="ended", category="chess", language="pt", title_vector=axis(3))
    replica.clock.advance(1_000)
    if model:
        streamers = [f"streamer of o{number}" for number in range(12)]
        put_live(replica, Version(by_terms_alone(untrained("one", streamers, "test", AXES))))
    return replica


def by_terms_alone(bundle: Bundle) -> Bundle:
    """Without what its networks' random weights say."""
    noise = ("ranker.heads.weight", "ranker.straight.weight")
    return replace(bundle, arrays={**bundle.arrays, **{name: 0 * bundle.arrays[name] for name in noise}})


def item_of(replica: Replica, viewer: str = "v", room: str = "x") -> Item:
    answer = replica.recommender.recommend(Query(viewer=viewer, limit=100, explain=True))
    return next(item for item in answer.rooms if item.room == room)


@pytest.mark.parametrize("source", list(CAUSES))
def test_without_its_cause_a_room_falls_by_what_the_cause_did_and_the_reason_goes(source: str) -> None:
    term, changes, reason = CAUSES[source]
    with_it, without = item_of(platform(**changes)), item_of(platform())
    assert (with_it.source, with_it.reason) == (source, reason)
    assert (without.source, without.reason) == ("live", "live now")
    fell = with_it.terms[term] - without.terms[term]  # type: ignore[index]
    assert fell > 0
    assert with_it.score - without.score == pytest.approx(fell, abs=2e-4)


def test_where_chat_rises_a_room_trends_and_where_it_was_faster_before_it_does_not() -> None:
    said = {"recent_messages_ms": Replica().clock.now_ms() // 10_000 * 10_000}
    rises = item_of(platform(recent_messages=(0, 0, 0, 0, 0, 0, 40), **said))
    falls = item_of(platform(recent_messages=(400,) * 5 + (0, 40), **said))
    assert (rises.source, rises.reason) == ("trending", "trending now")
    assert falls.source == "popular"
    assert rises.terms["trending"] == falls.terms["rising"] == 0  # type: ignore[index]
    assert rises.score - falls.score == pytest.approx(rises.terms["rising"], abs=2e-4)  # type: ignore[index]


def test_where_others_came_from_is_told_of_where_the_viewer_was_last_alone() -> None:
    replica = platform(arrivals=9)
    replica.room("y", arrivals=(Arrival(replica.clock.now_ms(), StreamerId("streamer of o1")),) * 9, category="z")
    replica.viewer("w", "liked", "o1", now_in="o1")
    assert item_of(replica, "v", "x").reason == "others came here from streamer of liked"
    assert item_of(replica, "w", "y").reason == "others came here from streamer of o1"
    assert item_of(replica, "w", "x").source != "others"
    assert {item_of(replica, "stranger", room).source for room in "xy"} == {"live"}


def test_a_room_that_does_not_say_its_category_is_not_named_for_what_it_gets_on_average() -> None:
    replica = Replica()
    for number in range(40):
        replica.room(f"r{number}", category="chess" if number else "", language="en", title_vector=axis(1))
    replica.viewer("v", "r1", "r2")
    for number in range(40, 90):
        replica.room(f"r{number}", category="art", language="en", title_vector=axis(1))
    item = item_of(replica, room="r0")
    assert item.terms["category"] > 0  # type: ignore[index]
    assert (item.source, item.reason) == ("live", "live now")


@pytest.mark.parametrize("source", ["visited", "category", "language", "similar"])
def test_by_a_model_too_a_reason_goes_with_its_cause(source: str) -> None:
    """How far the log odds fall: tests/unit/training/inference/test_causes.py."""
    _, changes, reason = CAUSES[source]
    with_it = item_of(platform(model=True, **changes))
    assert (with_it.source, with_it.reason) == (source, reason)
    without = item_of(platform(model=True))
    assert without.source not in {"visited", "category", "language", "similar"}
    assert without.score < with_it.score


ROOM = st.tuples(
    st.sampled_from(["Chess", "CHESS", "art", ""]),
    st.sampled_from(["pt", "en", ""]),
    st.integers(0, AXES - 1),
    st.sampled_from([0, 3, 900]),
    st.sampled_from([10, 200, 400, 9_000]),
    st.sampled_from([0, 40]),
)


@settings(deadline=None, max_examples=80)
@given(rooms=st.lists(ROOM, min_size=1, max_size=40), visited=st.sets(st.integers(0, 39), max_size=4))
def test_a_reason_is_the_term_that_is_furthest_above_the_average(
    rooms: list[tuple[str, str, int, int, int, int]], visited: set[int]
) -> None:
    replica = Replica()
    now_ms = replica.clock.now_ms()
    for number, (category, language, number_axis, entered, age_s, arrivals) in enumerate(rooms):
        recent = (ActivityBucket(now_ms // 10_000 * 10_000, arrivals, arrivals),) if arrivals else ()
        replica.room(
            f"r{number}", category=category, language=language, title_vector=axis(number_axis), entered=entered,
            started_at_ms=now_ms - age_s * 1_000, recent=recent,
        )  # fmt: skip
    if visited:
        replica.viewer("v", *(f"r{number}" for number in sorted(visited)))
    items = replica.recommender.recommend(Query(viewer="v", limit=100, explain=True)).rooms
    named = SOURCE_OF
    average = {term: np.mean([item.terms[term] for item in items]) for term in named}  # type: ignore[index]
    for item in items:
        above = {t: v - average[t] * (t != "visited") for t, v in item.terms.items()}  # type: ignore[union-attr]
        if now_ms - item.started_at_ms >= 300_000:
            above["fresh"] = 0
        above |= {label: 0 for label in ("category", "language") if not getattr(item, label)}
        reached = {t: v for t, v in above.items() if v > 0.1 * getattr(BaselineWeights(), t) - 1e-5}
        most = max(reached.values(), default=0.0)
        allowed = {named[t] for t, v in reached.items() if v > most - 1e-4}
        if not allowed or min(abs(v - 0.1 * getattr(BaselineWeights(), t)) for t, v in above.items()) < 1e-4:
            allowed.add("live")
        own = f"streamer of {item.room}" in item.reason
        assert item.source in allowed or (own and "similar" in allowed), (item, above)


def test_the_largest_of_several_causes_is_the_reason() -> None:
    both = platform(category="chess", language="pt", entered=900)
    assert item_of(both).source == "category"
    assert BaselineWeights().category > BaselineWeights().language > BaselineWeights().crowd


def test_what_all_rooms_have_is_no_reason() -> None:
    replica = Replica()
    for number in range(30):
        replica.room(f"r{number}", category="chess", language="pt", title_vector=axis(3), entered=20)
    replica.viewer("v", "gone", "r1")
    assert {item.source for item in replica.recommender.recommend(Query(viewer="v", limit=30)).rooms} == {
        "visited",
        "live",
    }
    filtered = replica.recommender.recommend(Query(viewer="v", filters=Filters(language="pt"))).rooms
    assert "language" not in {item.source for item in filtered}


def test_of_few_rooms_only_those_alike_are_called_similar() -> None:
    replica = platform(title_vector=axis(3))
    items = replica.recommender.recommend(Query(viewer="v")).rooms
    assert {item.room for item in items if item.source == "similar"} == {"x"}


def test_a_room_is_similar_to_the_room_that_it_is_like() -> None:
    replica = Replica()
    for number in range(20):
        replica.room(f"o{number}", title_vector=axis(7), category=f"c{number}")
    replica.room("first", title_vector=axis(2), category="a")
    replica.room("second", title_vector=axis(4), category="b")
    replica.viewer("v", "first", "second", "second")
    replica.room("like first", title_vector=axis(2), category="e")
    replica.room("like second", title_vector=axis(4), category="e")
    items = {item.room: item.reason for item in replica.recommender.recommend(Query(viewer="v", limit=50)).rooms}
    assert items["like first"] == "similar to streamer of first, where you were"
    assert items["like second"] == "similar to streamer of second, where you were"


def test_a_room_is_not_called_similar_to_its_own_streamer() -> None:
    replica = platform(streamer="streamer of liked", title_vector=axis(3))
    assert item_of(replica).reason == "you visited streamer of liked before"


@pytest.mark.parametrize("minutes", [6, 24, 600])
def test_a_room_of_some_minutes_did_not_just_start(minutes: int) -> None:
    replica = platform()
    replica.room("x", started_at_ms=replica.clock.now_ms() - minutes * 60_000, category="another")
    replica.clock.advance(1_000)
    for viewer in ("v", "stranger"):
        assert item_of(replica, viewer).source != "new"
    longer = platform(config=RecommendConfig(new_s=100_000.0), **{"started_at_ms": replica.clock.now_ms() - 360_000})
    assert item_of(longer, "stranger").source == "new"


def test_what_moved_a_room_less_than_the_threshold_is_not_named() -> None:
    assert item_of(platform(entered=900)).source == "popular"
    assert item_of(platform(config=RecommendConfig(reason_least=0.99), entered=900)).source == "live"


@pytest.mark.parametrize("model", [False, True])
def test_a_stranger_is_told_nothing_of_a_past(model: bool) -> None:
    replica = platform(model=model, category="chess", language="pt", title_vector=axis(3), entered=900)
    sources = {item.source for item in replica.recommender.recommend(Query(viewer="stranger")).rooms}
    assert sources <= {"popular", "trending", "new", "live"}


class Mute(FakeVersion):
    """Ranks, and cannot say why."""

    def log_odds_drops(self, *_: Any) -> Any:
        raise IndexError("feature 99 is out of bounds")


def test_a_version_that_cannot_say_why_answers_all_the_same_and_is_counted() -> None:
    replica = platform()
    put_live(replica, Mute("mute"))
    for _ in range(25):  # more than recommend.failures
        items = replica.recommender.recommend(Query(viewer="v")).rooms
    assert len(items) == 13
    assert {item.reason for item in items} == {"live now"}
    assert replica.metrics.value("model_failures_total", version="mute", task="reasons") == 25
    assert replica.recommender.failures.beyond_use("mute") == ""


def test_whose_rooms_count_most_are_kept_and_rooms_without_vectors_are_nobody_s() -> None:
    streamers = [f"s{number}" for number in range(12)]
    vectors_VE = np.eye(12, dtype=np.float32)
    vectors_VE[3] = np.nan
    weights_V = np.arange(12, dtype=np.float32) + 1
    found = likened(streamers, weights_V, vectors_VE)
    assert found.streamers == tuple(f"s{number}" for number in range(11, 11 - MOST_LIKENED, -1))
    assert found.nearest(np.eye(12, dtype=np.float32)[[11, 5, 3]]) == ["s11", "s5", ""]
    assert likened(["a"], weights_V[:1], np.full((1, 4), np.nan, np.float32)) is NOBODY
    assert NOBODY.nearest(vectors_VE) == [""] * 12


def test_the_streamer_s_id_in_a_reason_is_written_as_json_writes_it() -> None:
    replica = platform()
    hostile = StreamerId('"quoted" \\ \u2028')
    replica.room("y", streamer=hostile, category="z", title_vector=axis(1))
    assert item_of(replica, room="y").streamer == hostile


def follows(replica: Replica, viewer: str, streamer: str, *, visits: int) -> None:
    """A profile of a viewer who follows a streamer, and was with them so often, in rooms that nobody knows any more."""
    now_ms = replica.clock.now_ms()
    habit = StreamerHabit(StreamerId(streamer), visits, 0, now_ms, followed=True)
    profile = ViewerProfile(
        viewer=ViewerId(viewer), visits=(), habits=(habit,), room=None, total_visits=visits, total_events=1 + visits,
        first_at_ms=now_ms, last_at_ms=now_ms, recent_events=(), appended_ms=now_ms,
    )  # fmt: skip
    replica.send(VIEWER_PROFILES, viewer, encode(profile))


class Recalling(FakeVersion):
    """Says of every room that it is what it remembers of the streamer."""

    def log_odds_drops(self, *asked: Any) -> Any:
        falls_KC = super().log_odds_drops(*asked)
        falls_KC[:] = 0
        falls_KC[:, MEMORY] = 1
        return falls_KC


@pytest.mark.parametrize("model", [False, True])
def test_who_follows_and_never_came_is_not_told_of_visits(model: bool) -> None:
    replica = platform()
    if model:
        put_live(replica, Recalling("recalls"))
    for visits, source, reason in [(0, "followed", "you follow streamer of x"), (1, "visited", "you visited")]:
        viewer = f"follows {visits}"
        follows(replica, viewer, "streamer of x", visits=visits)
        item = item_of(replica, viewer)
        assert (item.source, item.reason[: len(reason)]) == (source, reason)
        written = replica.recommender.recommend_json(Query(viewer=viewer))
        assert item.reason in {one.reason for one in msgspec.json.decode(written, type=Answer).rooms}


def test_the_list_of_similar_rooms_calls_only_those_similar_that_are() -> None:
    replica = Replica()
    opposite = (-np.eye(AXES, dtype="<f2")[0]).tobytes()
    vectors = {"it": axis(0), "alike": axis(0), "other": axis(1), "opposite": opposite}
    for room, vector in vectors.items():
        replica.room(room, title_vector=vector)
    found = {item.room: (item.source, item.reason) for item in replica.recommender.similar("it", 10)}
    live = ("live", "live now")
    assert found == {"alike": ("similar", "similar to streamer of it"), "other": live, "opposite": live}
