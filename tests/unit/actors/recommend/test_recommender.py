"""Tests of the answer: what is in it, why, and what never is. Never touches a broker."""

from __future__ import annotations

import msgspec
import pytest

from actors.recommend.recommender import Answer, Filters, Query
from actors.settings import RecommendConfig
from streaming.errors import UnknownRoom
from streaming.events import ActivityBucket
from streaming.log.topics import ROOM_STATES
from tests.unit.actors.replica import Replica, axis
from training.settings import BaselineWeights


def test_an_empty_platform_answers_with_no_rooms() -> None:
    answer = Replica().recommender.recommend(Query(viewer="v"))
    assert answer.rooms == []
    assert not answer.known


@pytest.mark.parametrize("status", ["ended", "presumed_ended"])
def test_ended_room_is_gone_from_the_next_answer_on_every_path(status: str) -> None:
    replica = Replica()
    replica.room("a")
    replica.room("b")
    replica.viewer("v", "a")
    assert set(replica.shown("v")) == {"a", "b"}
    replica.room("a", status=status)
    assert replica.shown("v") == ["b"]
    assert replica.shown("stranger") == ["b"]
    assert [room.room for room in replica.recommender.rooms(10)] == ["b"]
    assert replica.recommender.similar("b", 10) == []
    with pytest.raises(UnknownRoom):
        replica.recommender.room("a")
    assert replica.metrics.value("dead_rooms_returned_total") == 0


def test_a_tombstone_removes_a_room() -> None:
    replica = Replica()
    replica.room("a")
    replica.send(ROOM_STATES, "a", None)
    assert replica.shown("v") == []


def test_a_slot_taken_by_another_room_shows_that_room_only() -> None:
    replica = Replica()
    replica.room("old", category="chess", title_vector=axis(1))
    replica.viewer("v", "old")
    replica.shown("v")
    replica.room("old", status="ended")
    replica.room("new", category="art", title_vector=axis(2))
    (item,) = replica.recommender.recommend(Query(viewer="v", explain=True)).rooms
    assert (item.room, item.category) == ("new", "art")
    assert item.terms["visited"] == 0  # type: ignore[index]
    assert item.terms["content"] == pytest.approx(0, abs=1e-3)  # type: ignore[index]


def test_a_visited_streamer_comes_first_and_the_reason_says_so() -> None:
    replica = Replica()
    for name in "abcdef":
        replica.room(name)
    replica.viewer("v", "d")
    first = replica.recommender.recommend(Query(viewer="v")).rooms[0]
    assert (first.room, first.source, first.reason) == ("d", "visited", "you visited streamer of d before")


def test_a_room_that_just_started_is_shown_to_a_viewer_with_a_taste_for_it_within_a_second() -> None:
    replica = Replica()
    for number in range(100):
        replica.room(f"other-{number}", category=f"other {number % 9}", title_vector=axis(number % 4), entered=500)
    replica.room("liked", category="chess", title_vector=axis(7))
    replica.viewer("v", "liked")
    replica.shown("v")
    replica.clock.advance(1_000)
    replica.room("fresh", category="chess", title_vector=axis(7), started_at_ms=replica.clock.now_ms())
    assert "fresh" in replica.shown("v")[:20]


def test_a_taste_outlives_the_room_that_it_comes_from() -> None:
    replica = Replica()
    replica.room("liked", category="chess", title_vector=axis(7))
    replica.room("near", category="x", title_vector=axis(7))
    replica.room("far", category="y", title_vector=axis(1))
    replica.viewer("v", "liked")
    replica.room("liked", status="ended", category="chess", title_vector=axis(7))
    near, far = replica.recommender.recommend(Query(viewer="v", explain=True)).rooms
    assert (near.room, far.room) == ("near", "far")
    assert near.terms["content"] == pytest.approx(BaselineWeights().content, rel=1e-2)  # type: ignore[index]


def test_the_room_where_the_viewer_is_and_excluded_rooms_are_not_recommended() -> None:
    replica = Replica()
    for name in "abc":
        replica.room(name)
    replica.viewer("v", "a", now_in="a")
    assert replica.shown("v", exclude=["b"]) == ["c"]


def test_a_new_profile_changes_the_next_answer() -> None:
    replica = Replica()
    for name in "abc":
        replica.room(name)
    replica.viewer("v", "a")
    assert replica.shown("v")[0] == "a"
    replica.viewer("v", "b")
    assert replica.shown("v")[0] == "b"


@pytest.mark.parametrize(
    ("filters", "rooms"),
    [
        (Filters(language="pt"), {"pt", "pt-BR"}),
        (Filters(language="pt-BR"), {"pt-BR"}),
        (Filters(category="CHESS"), {"chess"}),
        (Filters(mature=True), {"mature"}),
        (Filters(mature=False, language="en"), {"chess"}),
        (Filters(mature="any", language="en"), {"chess", "mature"}),
        (Filters(category="nothing"), set()),
        (Filters(language="PT"), {"pt", "pt-BR"}),
        (Filters(language="PT_br"), {"pt-BR"}),
        (Filters(category="cafe\u0301"), {"café"}),
    ],
)
def test_filters_let_through_what_they_say_even_where_it_is_nowhere_near_the_top(
    filters: Filters, rooms: set[str]
) -> None:
    replica = Replica()
    replica.room("pt", language="pt", title_vector=axis(1))
    replica.room("pt-BR", language="pt-BR", title_vector=axis(2))
    replica.room("chess", category="chess", title_vector=axis(3))
    replica.room("café", category="CAFÉ", language="fr")
    replica.room("mature", mature=True, title_vector=axis(4))
    for number in range(700):
        replica.room(f"hot-{number}", language="de", entered=9_000)
    replica.viewer("v", "hot-1")
    if filters.mature is not True:
        assert set(replica.shown("v", filters=filters)) == rooms
    assert {room.room for room in replica.recommender.rooms(100, filters)} == rooms


def test_mature_rooms_go_to_nobody_who_has_not_asked() -> None:
    replica = Replica()
    replica.room("adult", mature=True, entered=90, title_vector=axis(3))
    replica.room("other", title_vector=axis(3))
    replica.viewer("v", "adult", "other")
    for viewer in ("v", "stranger"):
        assert replica.shown(viewer) == ["other"]
        assert set(replica.shown(viewer, filters=Filters(mature="any"))) == {"adult", "other"}
        assert replica.shown(viewer, filters=Filters(mature=True)) == ["adult"]
    assert [room.room for room in replica.recommender.rooms(10)] == ["other"]
    assert replica.recommender.similar("other", 10) == []
    assert [item.room for item in replica.recommender.similar("other", 10, Filters(mature="any"))] == ["adult"]
    assert replica.recommender.room("adult").mature  # whoever knows its id has asked
    replica.room("adult", mature=False)
    assert set(replica.shown("v")) == {"adult", "other"}
    replica.room("other", mature=True)
    replica.clock.advance(1_000)
    assert replica.shown("v") == ["adult"]


def test_a_setting_shows_mature_rooms_to_all() -> None:
    replica = Replica(config=RecommendConfig(show_mature=True))
    replica.room("adult", mature=True)
    replica.room("other")
    assert set(replica.shown("v")) == {"adult", "other"}
    assert replica.shown("v", filters=Filters(mature=False)) == ["other"]


def test_many_mature_rooms_take_no_others_place_among_the_candidates() -> None:
    replica = Replica(config=RecommendConfig(pool=2, nearest=2))
    for number in range(450):
        replica.room(f"adult{number}", mature=True, entered=900, title_vector=axis(7), category="chess")
        replica.room(f"r{number}", title_vector=axis(1))
    replica.room("alike", title_vector=axis(7), category="another")
    replica.viewer("v", "adult1")
    assert replica.shown("v", limit=1) == ["alike"]


@pytest.mark.parametrize(("visited", "other"), [("Chess", "chess "), ("Pokémon", "POKE\u0301MON")])
def test_a_taste_knows_a_category_and_a_language_by_any_spelling(visited: str, other: str) -> None:
    replica = Replica()
    replica.room("liked", category=visited, language="pt-BR")
    replica.room("same", category=other, language="pt_br", title_vector=axis(1))
    replica.room("else", category="art", language="en", title_vector=axis(1))
    replica.viewer("v", "liked")
    items = {item.room: item for item in replica.recommender.recommend(Query(viewer="v", explain=True)).rooms}
    for term in ("category", "language"):
        assert items["same"].terms[term] == items["liked"].terms[term] > 0  # type: ignore[index]
        assert items["else"].terms[term] == 0  # type: ignore[index]
    assert items["same"].category == other  # shown as it was written


def test_terms_add_up_to_the_score() -> None:
    replica = Replica()
    replica.room("a", entered=40, window_messages=9)
    replica.room("b", title_vector=axis(1))
    replica.viewer("v", "a")
    for item in replica.recommender.recommend(Query(viewer="v", explain=True)).rooms:
        assert sum(item.terms.values()) == pytest.approx(item.score, abs=1e-4)  # type: ignore[union-attr]


def test_a_stranger_is_shown_what_trends_and_it_cools_as_time_passes() -> None:
    replica = Replica()
    bucket_ms = replica.clock.now_ms() // 10_000 * 10_000
    replica.room("quiet", entered=5)
    replica.room("hot", entered=5, recent=(ActivityBucket(bucket_ms, 50, 20),))
    first = replica.recommender.recommend(Query(viewer="s", explain=True)).rooms[0]
    assert (first.room, first.source, first.terms["trending"] > 0) == ("hot", "trending", True)  # type: ignore[index]
    replica.clock.advance(620_000)  # ten minutes later the clock alone has cooled it; no record came
    later = {i.room: i for i in replica.recommender.recommend(Query(viewer="s", explain=True)).rooms}
    assert later["hot"].terms["trending"] == later["quiet"].terms["trending"]  # type: ignore[index]


def test_receipt_says_what_the_vector_saw_and_since_when_it_is_served() -> None:
    replica = Replica()
    replica.room("a", segment_end_ms=replica.clock.now_ms() - 700, described_at_ms=0)
    served_ms = replica.clock.now_ms()
    replica.clock.advance(300)
    replica.room("a", segment_end_ms=served_ms - 700, described_at_ms=0, window_messages=4)  # the same vector
    receipt = replica.recommender.recommend(Query(viewer="v")).rooms[0].receipt
    assert (receipt.servable_ms, receipt.age_ms, receipt.segment_end_ms) == (served_ms, 1_000, served_ms - 700)
    assert (receipt.encoder_version, receipt.model_version) == ("test", "v0")


@pytest.mark.parametrize("explain", [False, True])
def test_the_written_answer_decodes_to_the_very_answer(explain: bool) -> None:
    replica = Replica()
    hostile = 'he said "age_ms":7,"score":8 \\ \u2028 \x07 😀'
    replica.room("seen", title=hostile, category=hostile, tags=(hostile, "x"), mature=True)
    for number in range(60):
        replica.room(f"r{number}", title_vector=axis(number % 8), category=f"c{number % 5}", entered=number)
    replica.room("begun", started_at_ms=replica.clock.now_ms(), category="c9", title_vector=axis(6))
    replica.room("later", described_at_ms=replica.clock.now_ms() + 5_000, entered=5_000)
    replica.viewer('viewer "1"', "seen", "r7", "r8", "seen", "seen")
    for round_ in range(3):
        replica.room("r7", title=f"another title {round_}", category="c1")
        replica.clock.advance(1_100)
        for viewer in ('viewer "1"', "stranger"):
            query = Query(viewer=viewer, limit=90, explain=explain, exclude=["r9"], filters=Filters(mature="any"))
            written = msgspec.json.decode(replica.recommender.recommend_json(query), type=Answer, strict=True)
            answer = replica.recommender.recommend(query)
            told = {"visited", "category"} if "1" in viewer else {"popular", "new", "live"}
            assert {item.source for item in answer.rooms} >= told
            assert msgspec.structs.replace(written, request_id=answer.request_id) == answer
            assert written.request_id != answer.request_id


def test_a_written_answer_without_rooms_is_an_answer_too() -> None:
    assert msgspec.json.decode(Replica().recommender.recommend_json(Query(viewer="v")), type=Answer).rooms == []
