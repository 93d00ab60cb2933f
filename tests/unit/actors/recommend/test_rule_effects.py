"""Tests that operators' rules hold on every path to an answer, in their order, and move no other room."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.answers.known_rules import KnownRules
from actors.answers.trending import Trending
from actors.recommend.recommender import Answer, Filters, Item, Query
from actors.recommend.schema import RankAnswer, RankQuery
from actors.settings import RecommendConfig
from streaming.events import ViewerRule
from streaming.log.codec import encode
from streaming.log.topics import RULES
from streaming.operator_rule import OperatorRule
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis

ANSWERS = ("r0", "r1", "r2")  # nearest, visited and trending ones


def platform(num_rooms: int = 40, version: str = "v0", **config: Any) -> Replica:
    replica = Replica(config=RecommendConfig(**config))
    for number in range(num_rooms):
        replica.room(
            f"r{number}", entered=number, title_vector=axis(number % AXES), category=f"c{number % 5}",
            language=("en", "pt-BR", "ja")[number % 3], tags=("chess",) if number % 4 == 0 else (),
        )  # fmt: skip
    replica.viewer("v", *ANSWERS)
    if version == "fake":
        put_live(replica, FakeVersion("one"))
    return replica


def put(replica: Replica, name: str, action: str, **fields: Any) -> None:
    """Puts a rule, as the log brings it."""
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    one = OperatorRule(name=name, action=action, at_ms=replica.clock.now_ms(), **given)  # type: ignore[arg-type]
    replica.send(RULES, name, encode(one))


def items(replica: Replica, viewer: str = "v", **query: Any) -> list[Item]:
    """The items of an answer, the same by both ways to write it."""
    asked = Query(viewer=viewer, **query)
    answer = replica.recommender.recommend(asked)
    written = msgspec.json.decode(replica.recommender.recommend_json(asked), type=Answer)
    assert written.rooms == answer.rooms
    return answer.rooms


def paths(replica: Replica) -> dict[str, Callable[[], list[str]]]:
    """Every list of rooms, by the name of its path."""
    recommender = replica.recommender

    def paged() -> list[str]:
        first = recommender.recommend(Query(viewer="v", limit=7, cursor=""))
        second = recommender.recommend(Query(viewer="v", limit=7, cursor=str(first.cursor)))
        return [item.room for item in (*first.rooms, *second.rooms)]

    def rank() -> list[str]:
        query = RankQuery(viewer="v", rooms=tuple(f"r{number}" for number in range(40)))
        answer = msgspec.json.decode(GivenRooms(recommender).rank_json(query), type=RankAnswer)
        return [item.room for item in answer.rooms]

    return {
        "recommend": lambda: replica.shown("v", limit=100),
        "filtered": lambda: replica.shown("v", limit=100, filters=Filters(language="en")),
        "cold start": lambda: replica.shown("nobody", limit=100),
        "any maturity": lambda: replica.shown("v", limit=100, filters=Filters(mature="any")),
        "pages": paged,
        "rank": rank,
        "trending": lambda: [item.room for item in Trending(recommender).rooms(100)],
        "rooms": lambda: [room.room for room in recommender.rooms(100)],
        "similar": lambda: [item.room for item in recommender.similar("r16", 100)],
    }


PATHS = [*paths(platform())]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("version", ["v0", "fake"])
def test_a_hidden_room_is_on_no_path_and_back_when_the_rule_goes(version: str, path: str) -> None:
    replica = platform(version=version)
    ask = paths(replica)[path]
    before = ask()
    hidden = {"r0", *(f"r{number}" for number in range(40) if number % 8 == 0)}
    put(replica, "one", "hide", rooms=["r0"])
    put(
        replica, "some", "hide", languages=["en", "PT", "ja"], categories=["C0", "c1", "c2", "c3", "c4"], tags=["chess"]
    )
    assert {room for room in before if int(room[1:]) % 4} == set(ask()) - hidden or path == "pages"
    assert not hidden & set(ask())
    assert hidden & set(before) or path == "pages"
    replica.send(RULES, "one", None)
    replica.send(RULES, "some", None)
    assert ask() == before


def test_hide_names_rooms_by_each_of_its_lists() -> None:
    replica = platform()
    put(replica, "r", "hide", categories=["c1"], languages=["pt"])
    hidden = {f"r{number}" for number in range(40) if number % 5 == 1 and number % 3 == 1}
    assert {f"r{number}" for number in range(40)} - set(replica.shown("nobody", limit=100)) == hidden
    assert replica.shown("nobody", filters=Filters(category="c1", language="pt")) == []
    put(replica, "r", "hide", streamers=["streamer of r3", "nobody"])
    assert {f"r{number}" for number in range(40)} - set(replica.shown("nobody", limit=100)) == {"r3"}


def test_a_room_that_begins_or_changes_is_under_the_rules_at_once() -> None:
    replica = platform()
    put(replica, "r", "hide", categories=["bad"])
    replica.room("new", category="Bad", entered=9_000)
    assert "new" not in replica.shown("nobody", limit=100)
    replica.room("r39", category="bad", entered=9_000)
    assert "r39" not in replica.shown("nobody", limit=100)
    replica.room("r39", category="good", entered=9_000)
    assert "r39" in replica.shown("nobody", limit=100)
    replica.room("new", status="ended")
    replica.room("other", category="good", entered=9_000)  # takes the slot
    assert "other" in replica.shown("nobody", limit=100)


@pytest.mark.parametrize("version", ["v0", "fake"])
@pytest.mark.parametrize("viewer", ["v", "nobody"])
def test_boosted_rooms_rise_buried_ones_fall_and_both_say_so(version: str, viewer: str) -> None:
    replica = platform(400, version)
    put(replica, "lift", "boost", rooms=["r7"], weight=20)
    put(replica, "sink", "bury", tags=["chess"], weight=20)
    rooms = items(replica, viewer, limit=100, explain=True)
    assert rooms[0].room == "r7"
    assert (rooms[0].source, rooms[0].reason, rooms[0].rule) == ("boosted", "boosted by the rule lift", "lift")
    assert isinstance(rooms[0].terms, dict)
    assert rooms[0].terms["rules"] == 20
    chess = [item for item in rooms if "chess" in item.tags]
    assert {item.source for item in chess} <= {"buried"}
    assert all(item.rule is msgspec.UNSET for item in rooms if item.room != "r7" and "chess" not in item.tags)


def test_weights_add_up_and_what_moves_most_is_the_reason() -> None:
    replica = platform()
    plain = {item.room: item.score for item in items(replica, limit=100)}
    put(replica, "a", "boost", rooms=["r5"], weight=1)
    put(replica, "b", "boost", rooms=["r5", "r6"], weight=2, reason="the finals")
    put(replica, "c", "bury", rooms=["r6", "r7"], weight=2)
    rooms = {item.room: item for item in items(replica, limit=100)}
    assert rooms["r5"].score == pytest.approx(plain["r5"] + 3, abs=1e-3)
    assert rooms["r6"].score == pytest.approx(plain["r6"], abs=1e-3)
    assert rooms["r7"].score == pytest.approx(plain["r7"] - 2, abs=1e-3)
    assert (rooms["r5"].reason, rooms["r5"].rule) == ("the finals", "b")
    assert rooms["r6"].rule is msgspec.UNSET  # not moved
    assert rooms["r7"].reason == "buried by the rule c"


@pytest.mark.parametrize("version", ["v0", "fake"])
@pytest.mark.parametrize("limit", [1, 5, 20, 100])
def test_a_pinned_room_has_its_place_whatever_its_score(version: str, limit: int) -> None:
    replica = platform(400, version, ranked=10)
    put(replica, "first", "pin", rooms=["r3"])
    put(replica, "fourth", "pin", streamers=["streamer of r8"], position=4)
    plain = [room for room in replica.shown("nobody", limit=100) if room not in ("r3", "r8")]
    rooms = items(replica, "nobody", limit=limit)
    assert len(rooms) == limit
    assert (rooms[0].room, rooms[0].source, rooms[0].rule) == ("r3", "pinned", "first")
    if limit >= 4:
        assert (rooms[3].room, rooms[3].reason) == ("r8", "pinned by the rule fourth")
    assert [item.room for item in rooms] == [*itertools.islice(["r3", plain[0], plain[1], "r8", *plain[2:]], limit)]


def test_a_pin_of_a_category_takes_its_best_rooms_for_the_viewer() -> None:
    replica = platform(400)
    best = [item.room for item in items(replica, filters=Filters(category="c3"), limit=3)]
    put(replica, "r", "pin", categories=["c3"], position=2, most=3)
    rooms = items(replica)
    assert [item.room for item in rooms[1:4]] == best
    assert [item.source for item in rooms[1:4]] == ["pinned"] * 3
    assert len({item.room for item in rooms}) == len(rooms)


def test_two_pins_of_one_place_stand_one_after_the_other_by_name() -> None:
    replica = platform()
    put(replica, "b", "pin", rooms=["r5"])
    put(replica, "a", "pin", rooms=["r6"])
    put(replica, "c", "pin", rooms=["r5"], position=3)  # has its place already
    assert replica.shown("nobody")[:2] == ["r6", "r5"]


def test_nothing_that_a_viewer_or_a_request_forbids_is_pinned() -> None:
    replica = platform()
    now_ms = replica.clock.now_ms()
    replica.viewer(
        "v", rules=[ViewerRule("hide", "r1", now_ms, True), ViewerRule("block", "streamer of r2", now_ms, True)]
    )
    replica.viewer("in r4", "r4", now_in="r4")
    replica.room("r6", mature=True)
    replica.room("r7", status="ended")
    for number in range(1, 9):
        put(replica, f"pin {number}".replace(" ", "-"), "pin", rooms=[f"r{number}"], position=number)
    put(replica, "hidden", "hide", rooms=["r8"])
    rooms = replica.shown("v", exclude=["r3"], exclude_streamers=("streamer of r5",))
    assert not {"r1", "r2", "r3", "r5", "r6", "r7", "r8"} & set(rooms)
    assert "r4" in rooms
    assert "r4" not in replica.shown("in r4")
    assert replica.shown("v", filters=Filters(mature=True)) == ["r6"]
    japanese = {f"r{number}" for number in range(40) if number % 3 == 2} - {"r2", "r8"}
    assert set(replica.shown("v", filters=Filters(language="ja"))) == japanese


def test_pages_have_pinned_rooms_once_each_at_its_place_of_the_whole_list() -> None:
    replica = platform(60)
    put(replica, "a", "pin", rooms=["r3"])
    put(replica, "b", "pin", categories=["c2"], position=6, most=3)
    put(replica, "c", "pin", rooms=["r4"], position=13)
    pages, cursor = [], ""
    while isinstance(cursor, str) and len(pages) < 20:
        answer = replica.recommender.recommend(Query(viewer="nobody", limit=7, cursor=cursor))
        pages.append(answer.rooms)
        cursor = answer.cursor  # type: ignore[assignment]
    whole = [item for page in pages for item in page]
    assert len({item.room for item in whole}) == len(whole) == 60
    assert {place: item.rule for place, item in enumerate(whole, 1) if item.source == "pinned"} == {
        1: "a", 6: "b", 7: "b", 8: "b", 13: "c"
    }  # fmt: skip


def test_a_pin_beyond_the_answer_waits_for_the_next_page_and_ends_a_short_list() -> None:
    replica = platform(8)
    put(replica, "r", "pin", rooms=["r7"], position=6)
    assert "r7" not in replica.shown("nobody", limit=5)
    assert replica.shown("nobody", limit=8)[5] == "r7"
    put(replica, "r", "pin", rooms=["r7"], position=50)
    assert replica.shown("nobody", limit=8)[-1] == "r7"
    assert replica.shown("nobody", limit=5) == replica.shown("nobody", limit=8)[:5]


def test_rank_names_hidden_rooms_scores_moved_ones_and_pins_none() -> None:
    replica = platform()
    query = RankQuery(viewer="v", rooms=("r3", "r4", "r5", "r6"))

    def rank() -> RankAnswer:
        return msgspec.json.decode(GivenRooms(replica.recommender).rank_json(query), type=RankAnswer)

    before = [item.room for item in rank().rooms]
    put(replica, "pin", "pin", rooms=[before[-1]])
    assert [item.room for item in rank().rooms] == before
    assert all(item.rule is msgspec.UNSET for item in rank().rooms)
    put(replica, "hide", "hide", rooms=[before[0]])
    put(replica, "boost", "boost", rooms=[before[-1]], weight=20)
    answer = rank()
    assert (answer.hidden, answer.never_shown, answer.not_live) == ([before[0]], [], [])
    assert answer.rooms[0].room == before[-1]
    assert answer.rooms[0].rule == "boost"


def test_trending_is_moved_and_pinned_too() -> None:
    replica = platform()
    put(replica, "pin", "pin", rooms=["r2"], position=2)
    put(replica, "boost", "boost", rooms=["r3"], weight=20)
    rooms = Trending(replica.recommender).rooms(5)
    assert [(item.room, item.rule) for item in rooms[:2]] == [("r3", "boost"), ("r2", "pin")]
    assert len(rooms) == 5
    assert rooms[2].rule is msgspec.UNSET


def test_rules_begin_and_end_with_the_clock() -> None:
    replica = platform()
    now_ms = replica.clock.now_ms()
    put(replica, "r", "hide", rooms=["r5"], starts_at_ms=now_ms + 1_000, ends_at_ms=now_ms + 2_000)
    seen, in_force = [], []
    for _ in range(3):
        seen.append(["r5" in paths(replica)[path]() for path in ("recommend", "rooms", "similar")])
        in_force.append(replica.metrics.value("operator_rules"))
        replica.clock.advance(1_000)
    assert seen == [[True] * 3, [False] * 3, [True] * 3]
    assert in_force == [0, 1, 0]


def test_rules_are_listed_with_what_they_do_now() -> None:
    replica = platform()
    now_ms = replica.clock.now_ms()
    put(replica, "b", "hide", categories=["c1"])
    put(replica, "a", "pin", rooms=["r1"], ends_at_ms=now_ms - 1)
    known = KnownRules(replica.recommender)
    assert [(one.name, one.in_force, one.live_rooms, one.origin) for one in known.rules()] == [
        ("a", False, 0, "put"), ("b", True, 8, "put")
    ]  # fmt: skip
    assert known.rule("b") == known.rules()[1]
    assert known.rule("nobody") is None


def test_a_record_that_is_no_rule_is_counted_reported_and_changes_nothing() -> None:
    replica = platform()
    refused: list[str] = []
    replica.tables.on_refused = lambda _, error: refused.append(str(error))
    put(replica, "r", "hide", rooms=["r5"])
    replica.send(RULES, "r", b"rubbish")
    assert "r5" not in replica.shown("nobody", limit=100)
    assert replica.metrics.value("undecodable_total", topic=RULES) == 1
    assert len(refused) == 1
    replica.tables.forget(RULES)
    assert "r5" in replica.shown("nobody", limit=100)


def test_counts_of_listed_rooms_stay_right_through_changes() -> None:
    replica = platform(30)
    rooms = replica.tables.rooms
    put(replica, "r", "hide", languages=["en"])
    for number in range(30):
        replica.room(f"r{number}", language=("en", "pt")[number % 2], mature=number % 3 == 0)
    replica.room("r1", status="ended")
    put(replica, "r", "hide", languages=["pt"])
    replica.room("r2", status="ended")
    assert rooms.num_listed == int(rooms.listed_N.sum()) == 14
    assert rooms.num_general == int(rooms.general_N.sum())
    replica.send(RULES, "r", None)
    assert rooms.num_listed == len(rooms) == int(rooms.listed_N.sum()) == 28
    assert rooms.num_general == int(rooms.general_N.sum())
    assert not rooms.ruled.of
    assert not rooms.ruled.hidden
    assert not rooms.ruled.everyone.weight_N.any()
