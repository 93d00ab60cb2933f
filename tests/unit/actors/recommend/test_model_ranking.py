"""Tests of what a version's ranker is given: the features of training/features/features.py, to the bit."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from actors.recommend import model_ranking
from actors.recommend.recommender import Query
from actors.settings import IndexConfig, RecommendConfig
from actors.versions.swap import Swapper
from streaming.events import ActivityBucket, Arrival, ModelVersion, RoomId, StreamerId, ViewerId
from streaming.log.codec import encode
from streaming.log.topics import MODELS
from tests.unit.actors.fake_version import FakeVersion, Floats
from tests.unit.actors.replica import Replica, axis
from training.features.features import ROOM_FEATURES, VIEWER_FEATURES, room_features, viewer_features
from training.features.viewer_columns import ProfileReader
from training.inference.interface import RankedRooms, RequestCandidates, RoomEmbeddings, ServedViewer
from training.registry.catalog import key_of


class Recording(FakeVersion):
    """Keeps what it is asked, and prepares the crowd's features themselves."""

    def __init__(self) -> None:
        super().__init__("one")
        self.asked: list[RequestCandidates] = []

    def prepare(self, room_features_NC: Floats, rooms: RoomEmbeddings) -> Floats:
        return room_features_NC.copy()

    def rank(self, viewer: ServedViewer, offered: RequestCandidates) -> RankedRooms:
        self.asked.append(offered)
        return super().rank(viewer, replace(offered, prepared_SH=np.nan_to_num(offered.prepared_SH)))


def replica_with(version: FakeVersion, rooms: int, ranked: int = 80, index: IndexConfig | None = None) -> Replica:
    """A replica that answers by the version, with rooms that have a crowd each."""
    replica = Replica(config=RecommendConfig(ranked=ranked), index=index)
    bucket_ms = replica.clock.now_ms() // 10_000 * 10_000
    for number in range(rooms):
        replica.room(
            f"r{number}", title_vector=axis(number % 8), entered=number, first_entered=number // 2, messages=number,
            left=number % 3,
            recent=(ActivityBucket(bucket_ms, number % 7, number % 3, number % 2),),
            arrivals=(Arrival(at_ms=replica.clock.now_ms() - number, streamer=StreamerId("streamer of r2")),),
            chat_at_ms=replica.clock.now_ms() - 100 * number,
        )  # fmt: skip
    replica.viewer("v", "r1", "r2", "gone", "r2", now_in="r2")
    swapper = Swapper(
        replica.tables, lambda _: version, replica.recommender.warm, metrics=replica.metrics, clock=replica.clock
    )
    record = ModelVersion(name="rooms", version=version.name, path="", state="live", metrics={}, at_ms=0)
    replica.send(MODELS, key_of(record).decode(), encode(record))
    swapper.turn(threading.Event())
    assert swapper.status().version == version.name
    return replica


@pytest.mark.parametrize("viewer", ["v", "stranger"])
def test_the_ranker_is_given_the_features_of_the_one_implementation(viewer: str) -> None:
    version = Recording()
    replica = replica_with(version, 90)
    version.asked.clear()
    replica.recommender.recommend(Query(viewer=viewer))
    (offered,) = version.asked
    rooms, now_ms = replica.tables.rooms, replica.clock.now_ms()
    raw = replica.tables.viewers.raw(ViewerId(viewer))
    past = ProfileReader(replica.tables.viewers.decode(raw) if raw is not None else None)
    streamers = [rooms.by_slot[slot].state.streamer for slot in offered.slots_N.tolist()]
    expected_NP = viewer_features(
        past.viewer_room(past.rows(streamers), now_ms),
        rooms.lately.arrivals(offered.slots_N, past.origin, now_ms),
        past.viewer(2 if viewer == "v" else 0, now_ms),
        now_ms,
    )
    np.testing.assert_array_equal(offered.viewer_features_NP, expected_NP)
    assert offered.viewer_features_NP.shape[1] == len(VIEWER_FEATURES)
    slots = rooms.slots()
    expected_NC = room_features(rooms.lately.rooms(slots, now_ms))
    np.testing.assert_array_equal(offered.prepared_SH[slots], expected_NC)
    assert expected_NC.shape[1] == len(ROOM_FEATURES)
    audience_N = expected_NC[:, ROOM_FEATURES.index("audience")]
    snapshots = [rooms.by_slot[slot] for slot in slots.tolist()]
    shown = [snapshot.audience if snapshot.state.left else np.nan for snapshot in snapshots]
    np.testing.assert_array_equal(audience_N, shown)  # what is shown of a room is what the ranker sees
    if viewer == "v":
        assert (
            np.count_nonzero(offered.viewer_features_NP[:, VIEWER_FEATURES.index("own_visits")]) == 1
        )  # not where they are now


def test_many_rooms_are_prepared_in_slices_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_ranking, "SLICE", 64)
    version = Recording()
    replica = replica_with(version, 700)
    replica.recommender.renew()
    replica.recommender.recommend(Query(viewer="v"))
    slots = replica.tables.rooms.slots()
    whole_NC = room_features(replica.tables.rooms.lately.rooms(slots, replica.clock.now_ms()))
    np.testing.assert_array_equal(version.asked[-1].prepared_SH[slots], whole_NC)


def test_a_ranker_sees_as_many_candidates_as_it_is_to_and_none_that_may_not_be_shown() -> None:
    version = Recording()
    replica = replica_with(version, 90, ranked=25)
    version.asked.clear()
    answer = replica.recommender.recommend(Query(viewer="v", exclude=["r1", "r3"], limit=5))
    (offered,) = version.asked
    assert len(offered.slots_N) == 25
    rooms = {replica.tables.rooms.by_slot[slot].state.room for slot in offered.slots_N.tolist()}
    assert rooms > {item.room for item in answer.rooms}
    assert not rooms & {"r1", "r2", "r3"}  # r2: where the viewer is
    assert len(replica.recommender.recommend(Query(viewer="v", limit=60)).rooms) == 60


def test_what_nobody_renewed_for_long_a_request_renews() -> None:
    version = Recording()
    replica = replica_with(version, 20)
    replica.room("r5", title_vector=axis(5), entered=500)
    slot = replica.tables.rooms.snapshots[RoomId("r5")].slot
    column = ROOM_FEATURES.index("room_visits")
    replica.recommender.recommend(Query(viewer="v"))
    assert version.asked[-1].prepared_SH[slot, column] == 5
    replica.clock.advance(61_000)
    replica.recommender.recommend(Query(viewer="v"))
    assert version.asked[-1].prepared_SH[slot, column] == 500


def test_rooms_alike_are_found_by_short_vectors_and_ordered_by_whole_ones() -> None:
    replica = replica_with(FakeVersion("one"), 90)
    rooms = replica.tables.rooms
    whole = replica.recommender.similar("r3", 5)
    short_replica = replica_with(FakeVersion("one"), 90, index=IndexConfig(max_rooms=1_000, prefix=2))
    assert short_replica.tables.rooms.index.dimension == 2
    vectors_NE = short_replica.tables.rooms.embeddings.vectors(rooms.slots())
    found = short_replica.recommender.similar("r3", 5)
    snapshots = short_replica.tables.rooms.snapshots
    products = {
        room: float(vectors_NE[snapshot.slot] @ vectors_NE[snapshots[RoomId("r3")].slot])
        for room, snapshot in snapshots.items()
    }
    assert [item.score for item in found] == pytest.approx([products[RoomId(item.room)] for item in found], abs=1e-4)
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    assert all(item.room != "r3" for item in found)
    assert {item.room for item in found} & {item.room for item in whole}
