"""Tests of rooms that no longer change: embedded once, and the same as if embedded again."""

from __future__ import annotations

import numpy as np
import pytest

from actors.index.live_index import LiveIndex
from actors.settings import IndexConfig
from actors.state import room_embeddings
from actors.state.room_embeddings import ModelEmbeddings
from streaming.events import RoomState
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.replica import Replica, axis


def embedded_by(version: FakeVersion) -> ModelEmbeddings:
    return ModelEmbeddings(version, LiveIndex(IndexConfig(max_rooms=16)))


def ended(*numbers: int) -> list[RoomState]:
    replica = Replica()
    for number in numbers:
        replica.room(f"r{number}", title_vector=axis(number % 8))
    return [snapshot.state for snapshot in replica.tables.rooms.snapshots.values()]


def test_streamers_of_forgotten_rooms_are_embedded_once() -> None:
    version = FakeVersion("one")
    ours = embedded_by(version)
    names = ["a", "b", "a", "c"]
    first = ours.alone(names)
    assert version.embedded == 3
    again = ours.alone(["c", "d", "a"])
    assert version.embedded == 4
    expected = embedded_by(FakeVersion("one"))
    for got, of in ((first, names), (again, ["c", "d", "a"])):
        for row, name in enumerate(of):
            np.testing.assert_array_equal(got.vectors_NE[row], expected.alone([name]).vectors_NE[0])


def test_rooms_that_ended_are_embedded_once_as_they_were() -> None:
    version = FakeVersion("one")
    ours, states = embedded_by(version), ended(1, 2, 3)

    def content(some: list[RoomState]) -> np.ndarray:
        return np.eye(8, dtype=np.float32)[[int(state.room[1:]) for state in some]]

    first = ours.ended(states, content)
    again = ours.ended(states[::-1], content)
    assert version.embedded == 3
    np.testing.assert_array_equal(first.vectors_NE, again.vectors_NE[::-1])
    np.testing.assert_array_equal(first.vectors_NE, ours.embed(states, content(states)).vectors_NE)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_embeddings, "MAX_SETTLED", 4)
    version = FakeVersion("one")
    ours = embedded_by(version)
    wanted = ours.alone(["a", "b", "c"]).vectors_NE.copy()
    ours.alone(["d", "e"])
    np.testing.assert_array_equal(ours.alone(["a", "b", "c"]).vectors_NE, wanted)
    assert version.embedded == 8  # all three went to make room, and then the two did


def with_prefix(prefix: int, *, ranks: bool = True) -> ModelEmbeddings:
    index = LiveIndex(IndexConfig(max_rooms=16, prefix=prefix))
    ours, states = ModelEmbeddings(FakeVersion("one", ranks=ranks), index), ended(1, 2, 3)
    slots_N = np.array([index.slots.allocate() for _ in range(4)])
    ours.put(slots_N[1:], states, np.eye(8, dtype=np.float32)[1:4])
    return ours


def test_candidates_for_a_ranker_are_found_by_the_first_dimensions() -> None:
    ours = with_prefix(2)
    whole_NE = ours.vectors(np.arange(4))
    assert np.isnan(whole_NE[0]).all()  # a slot without a room
    np.testing.assert_allclose(np.linalg.norm(whole_NE[1:], axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(ours.index.vectors(np.arange(1, 4)), whole_NE[1:, :2])
    np.testing.assert_array_equal(ours.short(whole_NE[1]), whole_NE[1, :2])


@pytest.mark.parametrize(("prefix", "ranks"), [(0, True), (2, False), (99, True)])
def test_whole_vectors_are_searched_where_that_is_asked_for_or_nothing_looks_at_the_rest(
    prefix: int, ranks: bool
) -> None:
    ours = with_prefix(prefix, ranks=ranks)
    np.testing.assert_array_equal(ours.index.vectors(np.arange(4)), ours.vectors(np.arange(4)))
