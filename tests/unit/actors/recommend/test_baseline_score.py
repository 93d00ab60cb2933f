"""What version 0's terms do to the order of rooms."""

from __future__ import annotations

import pytest

from actors.recommend.recommender import Query
from streaming.events import ActivityBucket, Arrival, StreamerId
from tests.unit.actors.replica import Replica
from training.baseline import TERMS
from training.settings import BaselineWeights


def terms_of(replica: Replica, viewer: str) -> dict[str, dict[str, float]]:
    """By room."""
    answer = replica.recommender.recommend(Query(viewer=viewer, explain=True))
    return {item.room: dict(item.terms) for item in answer.rooms if item.terms}


def came(replica: Replica, streamer: str, times: int, ago_s: int = 5) -> tuple[Arrival, ...]:
    at_ms = replica.clock.now_ms() - 1_000 * ago_s
    return tuple(Arrival(at_ms + number, StreamerId(f"streamer of {streamer}")) for number in range(times))


def test_a_viewer_is_led_where_those_go_who_were_last_with_the_same_streamer() -> None:
    replica = Replica()
    for name in "abcd":
        replica.room(name)
    replica.room("b", arrivals=came(replica, "x", 20))
    replica.room("c", arrivals=came(replica, "d", 12))
    replica.viewer("v", "d", now_in="d")
    assert replica.shown("v")[0] == "c"
    found = terms_of(replica, "v")
    assert found["b"]["arrivals"] == 0
    assert 0 < found["c"]["arrivals"] < BaselineWeights().arrivals
    assert terms_of(replica, "stranger")["c"]["arrivals"] == 0


def test_all_newest_arrivals_from_one_streamer_are_the_whole_of_the_term_and_old_ones_nothing() -> None:
    replica = Replica()
    replica.room("d")
    replica.room("a", arrivals=came(replica, "d", 32))
    replica.room("b", arrivals=came(replica, "d", 32, ago_s=601))
    replica.viewer("v", "d", now_in="d")
    found = terms_of(replica, "v")
    assert found["a"]["arrivals"] == pytest.approx(BaselineWeights().arrivals)
    assert found["b"]["arrivals"] == 0


def test_terms_add_up_to_the_score() -> None:
    replica = Replica()
    now_ms = replica.clock.now_ms()
    entered = (ActivityBucket(now_ms // 10_000 * 10_000, 9, 3, 4),)
    for number, name in enumerate("abcdef"):
        replica.room(
            name, category=("chess", "")[number % 2], language=("en", "", "de")[number % 3],
            arrivals=came(replica, "a", 3), recent=entered * (number % 2),
            recent_messages=(1, 0, 2 * number), recent_messages_ms=now_ms,
        )  # fmt: skip
    replica.viewer("v", "a", "b")
    for item in replica.recommender.recommend(Query(viewer="v", explain=True)).rooms:
        assert item.terms
        assert item.score == pytest.approx(sum(item.terms.values()), abs=1e-3)
        assert min(item.terms.values()) >= 0
        assert set(item.terms) == set(TERMS)


def test_a_room_that_does_not_say_its_category_gets_what_the_others_get_on_average() -> None:
    replica = Replica()
    replica.room("liked", category="chess", language="")
    replica.room("other", category="art", language="")
    replica.room("more", category="art", language="")
    replica.room("untold", category="", language="")
    replica.viewer("v", "liked")
    found = terms_of(replica, "v")
    whole = BaselineWeights().category
    assert [found[room]["category"] for room in ("liked", "other", "untold")] == pytest.approx([whole, 0, whole / 3])
    assert {terms["language"] for terms in found.values()} == {0.0}, "where nobody says it nobody gains"


def test_a_stranger_sees_first_where_newcomers_enter_and_then_where_chat_rises() -> None:
    replica = Replica()
    bucket_ms = replica.clock.now_ms() // 10_000 * 10_000
    steady, rising = (60,) * 6, (5, 5, 5, 5, 5, 60)
    replica.room("steady", recent_messages=steady, recent_messages_ms=bucket_ms)
    replica.room("quiet")
    replica.room("rising", recent_messages=rising, recent_messages_ms=bucket_ms)
    replica.room("entered", recent=(ActivityBucket(bucket_ms, 30, 20, 25),))
    assert replica.shown("stranger") == ["entered", "rising", "steady", "quiet"]
