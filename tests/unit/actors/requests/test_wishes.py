"""Tests of what a caller may wish for: every wish is obeyed, on every path, and none dries a list up."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.recommend.schema import MAX_LIMIT, Query
from actors.requests.filters import Filters
from actors.settings import IndexConfig, RecommendConfig
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis

TAGS = ("Retro", "retro", "speedrun", "POKE\u0301MON", "")
CONFIGS = {"version 0": RecommendConfig(pool=3, nearest=2), "ranker": RecommendConfig(ranked=5, pool=4)}


class Drawn(NamedTuple):
    """A room as the test draws it. age_s and seen_s: since its start, and since its newest text."""

    tags: tuple[str, ...]
    streamer: int
    audience: int
    age_s: int
    seen_s: int
    mature: bool


ROOMS = st.builds(
    Drawn,
    tags=st.lists(st.sampled_from(TAGS), max_size=3).map(tuple),
    streamer=st.integers(0, 3),
    audience=st.integers(0, 4),
    age_s=st.integers(-2, 4),
    seen_s=st.integers(-2, 4),
    mature=st.booleans(),
)


def bounds(name: str) -> st.SearchStrategy[dict[str, int | None]]:
    """A least and a most that some number lies between."""
    bound = st.none() | st.integers(0, 4)
    both = st.tuples(bound, bound).filter(lambda two: two[0] is None or two[1] is None or two[0] <= two[1])
    return both.map(lambda two: {f"min_{name}": two[0], f"max_{name}": two[1]})


FILTERS = st.builds(
    lambda audience, age, **rest: Filters(**audience, **age, **rest),
    audience=bounds("audience"),
    age=bounds("age_s"),
    tags=st.lists(st.sampled_from(["RETRO", "speedrun", "pokémon", "nobody's"]), max_size=2).map(tuple),
    tags_match=st.sampled_from(["all", "any"]),
    max_receipt_age_ms=st.sampled_from([None, None, 0, 2_000]),
    mature=st.sampled_from([None, True, "any"]),
)


def fits(drawn: Drawn, filters: Filters) -> bool:
    """What a wish lets through, said another way."""
    has = [tag.lower() in {tag.lower().replace("e\u0301", "é") for tag in drawn.tags} for tag in filters.tags]
    tagged = not has or (any(has) if filters.tags_match == "any" else all(has))
    audience = (
        (filters.min_audience or 0) <= drawn.audience <= (99 if filters.max_audience is None else filters.max_audience)
    )
    age_s = max(drawn.age_s, 0)
    aged = (filters.min_age_s or 0) <= age_s <= (99 if filters.max_age_s is None else filters.max_age_s)
    seen = filters.max_receipt_age_ms is None or 1_000 * max(drawn.seen_s, 0) <= filters.max_receipt_age_ms
    mature = filters.mature == "any" or drawn.mature == (filters.mature is True)
    return tagged and audience and aged and seen and mature


def put(replica: Replica, room: str, drawn: Drawn, **changes: Any) -> None:
    now_ms = replica.clock.now_ms()
    fields: dict[str, Any] = {
        "tags": drawn.tags, "streamer": f"s{drawn.streamer}", "entered": drawn.audience, "mature": drawn.mature,
        "started_at_ms": now_ms - 1_000 * drawn.age_s, "described_at_ms": now_ms - 1_000 * drawn.seen_s,
    }  # fmt: skip
    replica.room(room, **(fields | changes))


@pytest.mark.parametrize("config", list(CONFIGS))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rooms=st.lists(ROOMS, min_size=1, max_size=10),
    copies=st.sampled_from([1, 40]),
    filters=FILTERS,
    without=st.lists(st.sampled_from(["s0", "s1", "unknown"]), max_size=2).map(tuple),
    limit=st.sampled_from([1, 7, MAX_LIMIT]),
    known=st.booleans(),
)
def test_every_wish_is_obeyed_and_no_list_is_shorter_than_it_could_be(  # noqa: PLR0917  hypothesis gives them by name
    config: str, rooms: list[Drawn], copies: int, filters: Filters, without: tuple[str, ...], limit: int, known: bool
) -> None:
    rooms = rooms * copies
    replica = Replica(config=CONFIGS[config])
    for number, drawn in enumerate(rooms):
        put(replica, f"r{number}", drawn, title_vector=axis(number % AXES))
    put(replica, "other", Drawn((), 9, 0, 0, 0, mature=False))
    if config == "ranker":
        put_live(replica, FakeVersion("one"))
    if known:
        replica.viewer("v", "r0")
    fit = {f"r{i}" for i, drawn in enumerate(rooms) if fits(drawn, filters) and f"s{drawn.streamer}" not in without}
    fit |= {"other"} if fits(Drawn((), 9, 0, 0, 0, mature=False), filters) else set()
    query = Query(viewer="v", limit=limit, filters=filters, exclude_streamers=without)
    answer = replica.recommender.recommend(query)
    shown = [item.room for item in answer.rooms]
    assert len(shown) == len(set(shown)) == min(limit, len(fit))
    assert set(shown) <= fit
    if filters.max_receipt_age_ms is not None:
        assert all(item.receipt.age_ms <= filters.max_receipt_age_ms for item in answer.rooms)
    listed = [room.room for room in replica.recommender.rooms(limit, filters, without)]
    assert len(listed) == len(set(listed)) == min(limit, len(fit))
    assert set(listed) <= fit
    alike = {item.room for item in replica.recommender.similar("other", limit, filters, without)}
    assert len(alike) == min(limit, len(fit - {"other"}))
    assert alike <= fit - {"other"}


def test_a_tag_that_a_room_no_longer_has_does_not_find_it() -> None:
    replica = Replica()
    replica.room("a", tags=("Retro", "speedrun"))
    replica.room("b", tags=("speedrun",))
    assert replica.shown("v", filters=Filters(tags=("retro",))) == ["a"]
    replica.room("a", tags=("speedrun",))
    assert replica.shown("v", filters=Filters(tags=("retro",))) == []
    replica.room("b", tags=("retro",))
    assert replica.shown("v", filters=Filters(tags=("retro",))) == ["b"]
    replica.room("b", status="ended")
    replica.room("c")  # in b's slot
    assert replica.shown("v", filters=Filters(tags=("retro",))) == []
    assert set(replica.shown("v", filters=Filters(tags=("retro", "speedrun"), tags_match="any"))) == {"a"}


def test_tags_beyond_what_a_producer_may_send_are_passed_over_and_none_is_lost_with_them() -> None:
    replica = Replica()
    many = tuple(f"t{number}" for number in range(40))
    replica.room("a", tags=many)
    assert replica.shown("v", filters=Filters(tags=("t31",))) == ["a"]
    replica.room("a", tags=many[1:])
    assert replica.shown("v", filters=Filters(tags=("t32",))) == ["a"]
    assert replica.shown("v", filters=Filters(tags=("t0",))) == []


def test_as_time_passes_a_room_grows_out_of_a_wish_without_any_record() -> None:
    replica = Replica()
    replica.room("a", started_at_ms=replica.clock.now_ms())
    young, fresh = Filters(max_age_s=60), Filters(max_receipt_age_ms=5_000)
    assert replica.shown("v", filters=young) == replica.shown("v", filters=fresh) == ["a"]
    replica.clock.advance(61_000)
    assert replica.shown("v", filters=young) == replica.shown("v", filters=fresh) == []
    assert replica.shown("v", filters=Filters(min_age_s=61)) == ["a"]


def test_excluding_a_streamer_of_many_rooms_leaves_a_full_list() -> None:
    replica = Replica(index=IndexConfig(max_rooms=1_000), config=RecommendConfig(pool=5, nearest=1))
    for number in range(300):
        replica.room(f"many-{number}", streamer="everywhere", entered=900)
        replica.room(f"r{number}")
    shown = replica.shown("v", limit=MAX_LIMIT, exclude_streamers=("everywhere",))
    assert len(shown) == MAX_LIMIT
    assert not [room for room in shown if room.startswith("many")]


def test_bounds_between_which_no_room_can_be_are_an_error() -> None:
    with pytest.raises(ValueError, match="min_audience 5 is above max_audience 4"):
        Filters(min_audience=5, max_audience=4)
