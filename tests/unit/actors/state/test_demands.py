"""Tests that viewers' own rules hold on every path to an answer, and that nobody sees their own room."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.recommend.recommender import Filters, Query
from actors.settings import RecommendConfig, TablesConfig
from actors.state.viewer_table import ViewerTable
from streaming.events import ViewerEvent, ViewerId, ViewerProfile, ViewerRule
from streaming.log.codec import Decoder, encode
from streaming.log.topics import VIEWER_PROFILES
from streaming.room.activity import ActivityBook
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from tests.unit.actors.fake_version import Broken, FakeVersion
from tests.unit.actors.recommend.test_model_ranking import replica_with
from tests.unit.actors.replica import Replica, axis
from training.features.viewer_columns import COLD_START_VIEWER, ProfileReader

DAY_MS = 86_400_000


def demand(replica: Replica, viewer: str, *rules: ViewerRule, rooms: tuple[str, ...] = ()) -> None:
    """Gives a viewer, who was in these rooms, rules."""
    replica.viewer(viewer, *rooms)
    raw = replica.tables.viewers.raw(viewer)  # type: ignore[arg-type]
    profile: ViewerProfile = replica.tables.viewers.decode(raw or b"")
    replica.send(VIEWER_PROFILES, viewer, encode(msgspec.structs.replace(profile, rules=rules)))


def rule(replica: Replica, kind: str, subject: str, *, in_force: bool = True, room: str = "") -> ViewerRule:
    return ViewerRule(kind, subject, replica.clock.now_ms(), in_force, room)


@pytest.mark.parametrize("num_rooms", [3, 400], ids=["few", "many"])
@pytest.mark.parametrize(
    "query", [{}, {"filters": Filters(language="en")}, {"filters": Filters(category="music")}, {"limit": 100}]
)
def test_hidden_rooms_and_blocked_streamers_are_in_no_answer(num_rooms: int, query: dict[str, Any]) -> None:
    replica = Replica()
    for number in range(num_rooms):
        replica.room(f"r{number}", entered=number, title_vector=axis(number % 8))
    favourites = ("r0", "r1", "r2")  # nearest, visited and trending ones
    replica.room("r0", entered=9_000, streamer="streamer of r0")
    demand(replica, "v", rooms=favourites)
    assert {"r0", "r1"} < set(replica.shown("v", **query))
    demand(replica, "v", rule(replica, "hide", "r0"), rule(replica, "block", "streamer of r1"), rooms=favourites)
    assert not {"r0", "r1"} & set(replica.shown("v", **query))
    assert "r2" in replica.shown("v", **query)
    assert not {"r0", "r1"} & {item["room"] for item in _json(replica, "v", **query)}


def test_what_was_taken_back_is_shown_again() -> None:
    replica = Replica()
    replica.room("a")
    demand(replica, "v", rule(replica, "hide", "a", in_force=False))
    assert replica.shown("v") == ["a"]


def test_a_block_holds_for_the_streamers_next_room_too() -> None:
    replica = Replica()
    replica.room("a")
    replica.room("b")
    demand(replica, "v", rule(replica, "block", "streamer of a"))
    assert replica.shown("v") == ["b"]
    replica.room("a", status="ended")
    replica.room("a2", streamer="streamer of a")
    assert replica.shown("v") == ["b"]


def test_an_answer_is_as_long_as_asked_where_many_are_blocked() -> None:
    replica = Replica()
    for number in range(500):
        replica.room(f"r{number}", entered=number)
    blocked = [rule(replica, "block", f"streamer of r{number}") for number in range(100, 500)]
    demand(replica, "v", *blocked)
    shown = replica.shown("v", limit=100)
    assert len(shown) == 100
    assert all(int(room[1:]) < 100 for room in shown)


def test_rules_hold_where_a_version_ranks_and_where_its_viewer_tower_fails() -> None:
    replica = replica_with(FakeVersion("one"), 90)
    rules = rule(replica, "hide", "r1"), rule(replica, "block", "streamer of r2")
    demand(replica, "v", *rules, rooms=("r1", "r2"))
    assert not {"r1", "r2"} & set(replica.shown("v", limit=100))

    failing: Any = FakeVersion("two")
    replica = replica_with(failing, 90)
    demand(replica, "v", *rules, rooms=("r1", "r2"))

    def fails(_: object) -> object:
        raise ValueError("no tower")

    failing.viewer = fails
    assert not {"r1", "r2"} & set(replica.shown("v", limit=100))
    assert len(replica.shown("v", limit=100)) == 88


def test_rules_hold_where_a_version_gives_no_numbers() -> None:
    version = FakeVersion("one")
    replica = replica_with(version, 20)
    demand(replica, "v", rule(replica, "hide", "r1"), rooms=("r1", "r2"))
    version.rank = Broken("other", "nan").rank  # type: ignore[method-assign]
    assert "r1" not in replica.shown("v", limit=100)


def test_no_interest_lowers_a_room_is_said_fades_and_never_bans() -> None:
    replica = Replica()
    for name in "abc":
        replica.room(name, title_vector=axis("abc".index(name)))
    demand(replica, "v", rooms=("a", "a", "b"))
    assert replica.shown("v")[-1] == "c"
    lowered = rule(replica, "lower", "streamer of a", room="a")
    demand(replica, "v", lowered, rooms=("a", "b"))
    assert replica.shown("v") == ["b", "c", "a"]
    item = replica.recommender.recommend(Query(viewer="v", explain=True)).rooms[-1]
    assert item.terms["not_interested"] == pytest.approx(-9, abs=0.01)  # type: ignore[index]
    assert sum(item.terms.values()) == pytest.approx(item.score, abs=1e-3)  # type: ignore[union-attr]
    replica.clock.advance(14 * DAY_MS)
    item = next(i for i in replica.recommender.recommend(Query(viewer="v", explain=True)).rooms if i.room == "a")
    assert item.terms["not_interested"] == pytest.approx(-4.5, abs=0.01)  # type: ignore[index]


@pytest.mark.parametrize("ended", [False, True])
def test_no_interest_lowers_rooms_like_it_a_little(ended: bool) -> None:
    replica = Replica()
    replica.room("a", title_vector=axis(1))
    replica.room("like it", title_vector=axis(1))
    replica.room("other", title_vector=axis(2))
    demand(replica, "v", rule(replica, "lower", "streamer of a", room="a"))
    if ended:
        replica.room("a", title_vector=axis(1), status="ended")
    terms = {item.room: item.terms for item in replica.recommender.recommend(Query(viewer="v", explain=True)).rooms}
    assert terms["like it"]["not_interested"] == pytest.approx(-1.8, abs=0.01)  # type: ignore[index]
    assert "not_interested" not in terms["other"]  # type: ignore[operator]


def test_no_interest_lowers_what_a_model_ranks() -> None:
    replica = replica_with(FakeVersion("one"), 20)
    demand(replica, "v", rooms=("r1", "r2"))
    before = {item.room: item.score for item in replica.recommender.recommend(Query(viewer="v", limit=100)).rooms}
    demand(replica, "v", rule(replica, "lower", "streamer of r1", room="r1"), rooms=("r1", "r2"))
    after = replica.recommender.recommend(Query(viewer="v", limit=100, explain=True)).rooms
    scores = {item.room: item.score for item in after}
    odds = before["r1"] / (1 - before["r1"])
    assert scores["r1"] == pytest.approx(odds * 2.718281828**-3 / (1 + odds * 2.718281828**-3), abs=2e-4)
    assert next(i for i in after if i.room == "r1").terms["not_interested"] == pytest.approx(-3)  # type: ignore[index]


def test_rules_alone_tell_a_model_nothing_of_a_viewer() -> None:
    aggregate = ProfileAggregate(ViewerId("v"), ProfileConfig())
    event = ViewerEvent(viewer="v", room="r", streamer="s", action="block_streamer", at_ms=1_764_000_000_000)
    aggregate.apply(event, event.at_ms, ActivityBook())
    assert ProfileReader(aggregate.profile()).viewer(0, event.at_ms + 1_000) == COLD_START_VIEWER


def test_rules_hold_of_a_viewer_whose_profile_had_to_go() -> None:
    replica = Replica(tables=TablesConfig(profiles_mb=1))
    replica.room("a")
    replica.room("b")
    demand(replica, "v", rule(replica, "hide", "a"))
    demand(replica, "w", rule(replica, "hide", "b"))
    for number in range(3_000):
        replica.viewer(f"other {number}", "a", "b")
    viewers = replica.tables.viewers
    assert viewers.raw(ViewerId("v")) is None
    answer = replica.recommender.recommend(Query(viewer="v"))
    assert not answer.known
    assert [item.room for item in answer.rooms] == ["b"]
    demand(replica, "v")  # what they say later counts
    assert set(replica.shown("v")) == {"a", "b"}
    replica.send(VIEWER_PROFILES, "w", None)
    assert set(replica.shown("w")) == {"a", "b"}


def test_rules_of_viewers_whose_profiles_had_to_go_are_bounded() -> None:
    table = ViewerTable(16_384, Decoder(VIEWER_PROFILES))
    now_ms = 1_764_000_000_000
    for number in range(100):
        made = ProfileAggregate(ViewerId(f"v{number}"), ProfileConfig())
        for room in range(10):
            event = ViewerEvent(viewer=made.viewer, room=f"r{room}", streamer="s", action="hide_room", at_ms=now_ms)
            made.apply(event, now_ms, ActivityBook())
        table.put(made.viewer, made.packed())
    kept = [number for number in range(100) if table.rules(ViewerId(f"v{number}")).hidden]
    assert 0 < len(kept) < 10
    assert kept[-1] == max(number for number in range(100) if table.raw(ViewerId(f"v{number}")) is None)
    assert table._rules_bytes <= 16_384 // 8


def test_no_reason_names_a_blocked_streamer() -> None:
    replica = Replica()
    replica.room("a", title_vector=axis(3))
    replica.room("like a", title_vector=axis(3), category="x", language="xx")
    for number in range(5):
        replica.room(f"far {number}", title_vector=axis(1), category="y", language="yy")
    demand(replica, "v", rooms=("a",))
    assert "streamer of a" in next(i.reason for i in _items(replica) if i.room == "like a")
    demand(replica, "v", rule(replica, "block", "streamer of a"), rooms=("a",))
    assert all("streamer of a" not in item.reason for item in _items(replica))


def test_a_streamer_is_not_recommended_their_own_room() -> None:
    replica = Replica()
    replica.room("mine", streamer="ana", entered=1_000)
    replica.room("other", streamer="bo")
    assert replica.shown("ana") == ["other"]  # without a profile
    demand(replica, "ana", rooms=("other",))
    assert replica.shown("ana") == ["other"]
    assert "mine" in replica.shown("bo")
    apart = Replica(config=RecommendConfig(shared_ids=False))
    apart.room("mine", streamer="ana")
    assert apart.shown("ana") == ["mine"]


def _items(replica: Replica) -> list[Any]:
    return list(replica.recommender.recommend(Query(viewer="v", limit=100)).rooms)


def _json(replica: Replica, viewer: str, **query: Any) -> list[Any]:
    answer = msgspec.json.decode(replica.recommender.recommend_json(Query(viewer=viewer, **query)))
    return list(answer["rooms"])
