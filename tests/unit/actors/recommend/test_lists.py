"""Tests of how long a list is and in which order equals come: no list dries up. Never touches a broker."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.recommend.schema import MAX_EXCLUDED, MAX_LIMIT
from actors.requests.filters import Filters
from actors.settings import IndexConfig, RecommendConfig
from actors.versions.swap import Swapper
from streaming.events import ModelVersion
from streaming.log.codec import encode
from streaming.log.topics import MODELS
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.replica import AXES, Replica, axis
from training.registry.catalog import key_of

CATEGORIES, LANGUAGES = ("Chess", "chess", "Just Chatting", ""), ("en", "pt", "pt-BR", "pt_BR", "PT", "")


class Told(NamedTuple):
    """A room as the test knows it."""

    category: str
    language: str
    mature: bool


ROOMS = st.builds(Told, st.sampled_from(CATEGORIES), st.sampled_from(LANGUAGES), st.booleans())
FILTERS = st.builds(
    Filters,
    language=st.sampled_from([None, None, "pt", "PT-br", "en", "xx"]),
    category=st.sampled_from([None, None, "CHESS", "nothing"]),
    mature=st.sampled_from([None, None, True, False, "any"]),
)
CONFIGS = {
    "version 0": RecommendConfig(),
    "small pools": RecommendConfig(pool=3, nearest=2),
    "mature shown": RecommendConfig(show_mature=True),
    "ranker": RecommendConfig(),
    "ranker of few": RecommendConfig(ranked=5, pool=4),
    "ranker of all": RecommendConfig(ranked=0),
}


def fits(told: Told, filters: Filters, config: RecommendConfig) -> bool:
    """What a filter lets through, said another way."""
    language = told.language.lower().replace("_", "-")
    wanted = None if filters.language is None else filters.language.lower()
    speaks = wanted is None or language == wanted or language.split("-")[0] == wanted
    of_category = filters.category is None or told.category.lower() == filters.category.lower()
    asked = ("any" if config.show_mature else False) if filters.mature is None else filters.mature
    return speaks and of_category and asked in {"any", told.mature}


def put_live(replica: Replica, version: FakeVersion) -> None:
    swapper = Swapper(
        replica.tables, lambda _: version, replica.recommender.warm, metrics=replica.metrics, clock=replica.clock
    )
    record = ModelVersion(name="rooms", version=version.name, path="", state="live", metrics={}, at_ms=0)
    replica.send(MODELS, key_of(record).decode(), encode(record))
    swapper.turn(threading.Event())
    assert swapper.status().version == version.name


def platform(rooms: list[Told], config: str, *, one_streamer: bool = False) -> Replica:
    replica = Replica(config=CONFIGS[config])
    for number, told in enumerate(rooms):
        changes: dict[str, Any] = told._asdict()
        if one_streamer:
            changes["streamer"] = "the only one"
        replica.room(f"r{number}", title_vector=axis(number % AXES), entered=number % 3, **changes)
    if config.startswith("ranker"):
        put_live(replica, FakeVersion("one"))
    return replica


@pytest.mark.parametrize("config", list(CONFIGS))
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=st.lists(ROOMS, min_size=1, max_size=12),
    copies=st.sampled_from([1, 5, 40]),
    one_streamer=st.booleans(),
    filters=FILTERS,
    excluded=st.sampled_from([0.0, 0.3, 0.97]),
    limit=st.sampled_from([1, 5, 20, 99, MAX_LIMIT]),
    known=st.booleans(),
)
def test_a_list_is_as_long_as_was_asked_for_or_has_all_that_fit(  # noqa: PLR0917  hypothesis gives them by name
    config: str,
    drawn: list[Told],
    copies: int,
    one_streamer: bool,
    filters: Filters,
    excluded: float,
    limit: int,
    known: bool,
) -> None:
    rooms = drawn * copies
    replica = platform(rooms, config, one_streamer=one_streamer)
    replica.room("over", status="ended")
    exclude = [f"r{number}" for number in range(int(excluded * len(rooms)))] + ["r0", "unknown", "over"] * bool(
        excluded
    )
    if known:
        replica.viewer("v", "r0", f"r{len(rooms) - 1}", now_in=f"r{len(rooms) - 1}")
    hidden = {*exclude, f"r{len(rooms) - 1}" if known else ""}
    fit = {f"r{i}" for i, told in enumerate(rooms) if fits(told, filters, CONFIGS[config])}
    shown = replica.shown("v", limit=limit, filters=filters, exclude=exclude)
    assert len(shown) == len(set(shown)) == min(limit, len(fit - hidden))
    assert set(shown) <= fit - hidden
    listed = [room.room for room in replica.recommender.rooms(limit, filters)]
    assert len(listed) == len(set(listed)) == min(limit, len(fit))
    assert set(listed) <= fit
    alike = {item.room for item in replica.recommender.similar("r0", limit, filters)}
    assert len(alike) == min(limit, len(fit - {"r0"}))
    assert alike <= fit - {"r0"}
    assert replica.metrics.value("dead_rooms_returned_total") == 0


@pytest.mark.parametrize("config", list(CONFIGS))
@pytest.mark.parametrize("exclude", [[], [f"r{number}" for number in range(0, 300, 2)]])
def test_equals_come_in_the_same_order_at_every_limit(config: str, exclude: list[str]) -> None:
    replica = platform([Told("chess", "en", mature=False)] * 400, config)
    replica.viewer("v", "r1", "r3", "r8")
    for viewer in ("v", "stranger"):
        whole = replica.shown(viewer, limit=MAX_LIMIT, exclude=exclude)
        for limit in (1, 2, 5, 10, 20, 33, 60, 61, 99):
            assert replica.shown(viewer, limit=limit, exclude=exclude) == whole[:limit], limit
    listed = [room.room for room in replica.recommender.rooms(MAX_LIMIT)]
    alike = [item.room for item in replica.recommender.similar("r1", MAX_LIMIT)]
    for limit in (1, 5, 10, 99):
        assert [room.room for room in replica.recommender.rooms(limit)] == listed[:limit]
        assert [item.room for item in replica.recommender.similar("r1", limit)] == alike[:limit]


@pytest.mark.parametrize("config", ["version 0", "ranker"])
def test_equals_come_in_the_same_order_in_every_replica(config: str) -> None:
    replicas = []
    for order in (range(300), reversed(range(300))):
        replica = Replica(config=CONFIGS[config])
        for number in order:
            replica.room(f"r{number}", started_at_ms=1_700_000_000_000, streamer=f"s{number % 7}")
        if config == "ranker":
            put_live(replica, FakeVersion("one"))
        replicas.append(replica)
    ours, theirs = replicas
    assert ours.shown("s", limit=50) == theirs.shown("s", limit=50)
    assert [r.room for r in ours.recommender.rooms(50)] == [r.room for r in theirs.recommender.rooms(50)]
    assert [r.room for r in ours.recommender.similar("r4", 50)] == [
        r.room for r in theirs.recommender.similar("r4", 50)
    ]


def test_the_largest_exclude_list_leaves_the_largest_list() -> None:
    replica = Replica(index=IndexConfig(max_rooms=2_000))
    rooms = [f"r{number:04}" for number in range(MAX_EXCLUDED + MAX_LIMIT + 1)]
    for number, room in enumerate(rooms):
        replica.room(room, entered=5_000 - number)  # those excluded are the largest
    replica.viewer("v", rooms[0], rooms[-1], now_in=rooms[-1])
    shown = replica.shown("v", limit=MAX_LIMIT, exclude=rooms[:MAX_EXCLUDED])
    assert set(shown) == set(rooms[MAX_EXCLUDED:-1])
    assert len(replica.shown("v", limit=MAX_LIMIT, exclude=["r0000"] * MAX_EXCLUDED)) == MAX_LIMIT


def test_rooms_excluded_that_are_hidden_anyway_do_not_shorten_the_list() -> None:
    replica = Replica(config=RecommendConfig(pool=10, nearest=1))
    for number in range(150):
        replica.room(f"adult{number}", mature=True, entered=900)
        replica.room(f"r{number}")
    shown = replica.shown("v", limit=MAX_LIMIT, exclude=[f"adult{number}" for number in range(150)])
    assert len(shown) == MAX_LIMIT
