"""Tests that a replica forgets a viewer everywhere: tables, caches, waiting impressions, requests to be scored."""

from __future__ import annotations

import pytest

from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Query, Recommender
from actors.settings import RecommendConfig
from streaming.events import ViewerId
from streaming.log.codec import encode
from streaming.log.topics import VIEWER_PROFILES
from streaming.room.activity import ActivityBook
from streaming.viewer.presence import is_erased
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from tests.unit.actors.replica import Replica
from tests.unit.actors.swap_world import World

VIEWER = ViewerId("v")


def erased(viewer: str = "v") -> bytes:
    aggregate = ProfileAggregate(ViewerId(viewer), ProfileConfig())
    aggregate.erase(1_764_000_000_000, 1_764_000_000_000, ActivityBook())
    return aggregate.packed()


@pytest.mark.parametrize("how", ["mark", "tombstone"])
def test_a_forgotten_viewer_is_a_cold_start_viewer_in_the_next_answer(how: str) -> None:
    replica = Replica()
    replica.tables.current = True
    impressions = Impressions(1.0, 100)
    recommender = Recommender(replica.tables, RecommendConfig(), replica.metrics, replica.clock, impressions)
    replica.room("a")
    replica.viewer("v", "a")
    replica.viewer("w", "a")
    assert recommender.recommend(Query(viewer="v")).known
    recommender.recommend(Query(viewer="w"))
    assert len(impressions) == 2
    assert VIEWER in recommender._viewers._cached
    replica.send(VIEWER_PROFILES, "v", erased() if how == "mark" else None)
    assert [key for key, _ in impressions.take(10)] == ([b"w"] if how == "mark" else [b"v", b"w"])
    assert VIEWER not in recommender._viewers._cached
    assert replica.tables.viewers.raw(VIEWER) is None
    answer = recommender.recommend(Query(viewer="v"))
    assert not answer.known
    assert recommender.recommend(Query(viewer="w")).known


def test_a_lookup_under_way_does_not_bring_a_forgotten_viewer_back() -> None:
    replica = Replica()
    replica.tables.current = True
    replica.viewer("v", "a")
    value = replica.tables.viewers.raw(VIEWER)
    assert value is not None
    replica.send(VIEWER_PROFILES, "v", erased())
    replica.tables.hold(VIEWER, value)
    assert replica.tables.viewers.raw(VIEWER) is None
    replica.viewer("v", "b")  # they came again
    assert replica.tables.viewers.raw(VIEWER) is not None


def test_requests_that_wait_to_be_scored_are_forgotten() -> None:
    world = World(shadow=1.0)
    world.live("one")
    world.live("two", "candidate")
    replica = world.replica
    for viewer in ("v", "w", "v"):
        replica.recommender.recommend(Query(viewer=viewer))
    replica.send(VIEWER_PROFILES, "v", erased())
    assert [query.viewer for query in replica.recommender._shadow._waiting] == ["w"]


@pytest.mark.parametrize("viewer", ["v", "x" * 128, "ж" * 128])
def test_only_the_mark_of_an_erasure_is_taken_for_one(viewer: str) -> None:
    assert is_erased(viewer.encode(), erased(viewer))
    plain = ProfileAggregate(ViewerId(viewer), ProfileConfig())
    assert not is_erased(viewer.encode(), encode(plain.profile()))
    assert not is_erased(viewer.encode(), b"rubbish")
