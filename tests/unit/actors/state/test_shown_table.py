"""Tests of what viewers were shown: losses add up, halve, end with a visit, and stay within bounds. Never a broker."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.state import shown_table
from actors.state.room_table import RoomTable
from actors.state.shown_table import MOST_ROOMS, VIEWER_BYTES, ShownTable, hash_of
from streaming.errors import RecordError
from streaming.events import RoomId, StreamerId, ViewerId, ViewerProfile, Visit
from streaming.log.codec import Decoder, encode
from streaming.log.topics import VIEWER_PROFILES
from tests.unit.actors.replica import Replica
from training.features import compiling

HALF_LIFE_MS = 600_000.0
NOW_MS = 1_764_000_000_000
V = ViewerId("v")
SLOTS = np.arange(100)
HASH_S = np.array([hash_of(RoomId(f"r{number}")) for number in range(100)], np.int64).view(np.uint64)


@pytest.fixture(autouse=True)
def _compiled() -> None:
    compiling.load(shown_table.signatures())


def table(cost: float = 1.0, most: float = 3.0, budget_bytes: int = 1 << 20) -> ShownTable:
    return ShownTable(HASH_S, cost, most, HALF_LIFE_MS, budget_bytes)


def rooms(*numbers: int) -> np.ndarray:
    return HASH_S[list(numbers)].view(np.int64)


def lost(found: ShownTable, number: int, at_ms: int, viewer: ViewerId = V) -> float:
    lost_K = found.lost(viewer, SLOTS, at_ms)
    return 0.0 if lost_K is None else float(lost_K[number])


def profile(*visits: tuple[int, int]) -> bytes:
    """A profile of visits to rooms, each with when the viewer was there last."""
    return encode(
        ViewerProfile(
            viewer=V, habits=(), room=None, total_visits=1, total_events=1, first_at_ms=0, last_at_ms=0,
            recent_events=(), appended_ms=0,
            visits=tuple(
                Visit(RoomId(f"r{room}"), StreamerId("s"), at_ms - 9, at_ms, 0, 0, 0, 0) for room, at_ms in visits
            ),
        )
    )  # fmt: skip


def test_each_showing_costs_up_to_the_most_and_half_of_it_is_back_after_the_half_life() -> None:
    found = table()
    assert found.lost(V, SLOTS, NOW_MS) is None
    for times, expected in enumerate([1.0, 2.0, 3.0, 3.0], start=1):
        found.show(V, rooms(1, 2), NOW_MS)
        assert lost(found, 1, NOW_MS) == pytest.approx(expected, abs=2e-3), times
    assert lost(found, 1, NOW_MS + 600_000) == pytest.approx(1.5, abs=2e-3)
    assert lost(found, 1, NOW_MS + 1_200_000) == pytest.approx(0.75, abs=2e-3)
    assert lost(found, 3, NOW_MS) == lost(found, 1, NOW_MS, ViewerId("other")) == 0
    found.show(V, rooms(1), NOW_MS + 600_000)
    assert lost(found, 1, NOW_MS + 600_000) == pytest.approx(2.5, abs=3e-3)
    assert lost(found, 2, NOW_MS + 600_000) == pytest.approx(1.5, abs=2e-3)


def test_records_that_come_out_of_order_count_as_old_as_they_are() -> None:
    found = table(most=100)
    found.show(V, rooms(1), NOW_MS)
    found.show(V, rooms(1), NOW_MS - 600_000)
    assert lost(found, 1, NOW_MS) == pytest.approx(1.5, abs=3e-3)


def test_a_visit_after_the_showing_ends_the_loss_and_one_before_it_does_not() -> None:
    found, decode = table(), Decoder(VIEWER_PROFILES)
    found.show(V, rooms(1, 2, 3), NOW_MS)
    entered = found.meet(V, profile((1, NOW_MS + 5), (2, NOW_MS - 5)), decode)
    assert entered.tolist() == rooms(1).tolist()
    assert [lost(found, room, NOW_MS) > 0 for room in (1, 2, 3)] == [False, True, True]
    found.show(V, rooms(1), NOW_MS + 10)
    assert not len(found.meet(V, profile((1, NOW_MS + 5), (2, NOW_MS - 5)), decode))
    assert lost(found, 1, NOW_MS + 10) == pytest.approx(1, abs=2e-3)


def test_a_profile_is_decoded_once_for_each_of_its_versions() -> None:
    found, decoded = table(), []

    def decode(value: bytes) -> ViewerProfile:
        decoded.append(value)
        if value == b"nonsense":
            raise RecordError("no profile")
        return msgspec.msgpack.decode(value, type=ViewerProfile)

    first, second = profile((5, NOW_MS)), profile((6, NOW_MS))
    assert not len(found.meet(V, first, decode))  # nothing was shown: nothing to compare
    found.show(V, rooms(1), NOW_MS)
    for value in (first, first, second, second, b"", b"nonsense", b"nonsense"):
        assert not len(found.meet(V, value, decode))
    assert decoded == [first, second, b"nonsense"]
    assert lost(found, 1, NOW_MS) > 0


def test_what_another_replica_says_was_entered_is_forgotten() -> None:
    found = table()
    found.show(V, rooms(1, 2), NOW_MS)
    found.enter(V, rooms(1, 7))
    assert [lost(found, room, NOW_MS) > 0 for room in (1, 2)] == [False, True]
    found.enter(V, rooms(2))
    assert len(found) == 0
    assert found.held_bytes == 0


def test_of_a_viewer_the_rooms_that_lost_most_are_kept() -> None:
    found = table(most=100)
    found.show(V, rooms(*range(10)), NOW_MS)
    found.show(V, rooms(*range(100)), NOW_MS)
    lost_K = found.lost(V, SLOTS, NOW_MS)
    assert lost_K is not None
    assert np.count_nonzero(lost_K) == MOST_ROOMS
    assert (lost_K[:10] > 1.9).all()


def test_what_has_passed_is_forgotten() -> None:
    found = table()
    found.show(V, rooms(1), NOW_MS)
    found.show(V, rooms(2), NOW_MS + 6_000_000)
    assert found.held_bytes == len(V) + VIEWER_BYTES + 16


def test_memory_is_bounded_and_those_shown_something_longest_ago_go() -> None:
    found = table(budget_bytes=10 * (VIEWER_BYTES + 400))
    for number in range(50):
        found.show(ViewerId(f"v{number}"), rooms(*range(20)), NOW_MS)
        found.show(ViewerId("v0"), rooms(1), NOW_MS)
    assert found.held_bytes <= 10 * (VIEWER_BYTES + 400)
    assert [lost(found, 1, NOW_MS, ViewerId(f"v{number}")) > 0 for number in (0, 1, 48, 49)] == [
        True, False, True, True,
    ]  # fmt: skip
    for number in range(50):
        found.forget(ViewerId(f"v{number}"))
    assert found.held_bytes == len(found) == 0


def test_the_hash_is_that_of_the_room_table() -> None:
    replica = Replica()
    replica.room("räum \U0001f3ae")
    rooms_: RoomTable = replica.tables.rooms
    slot = rooms_.snapshots[RoomId("räum \U0001f3ae")].slot
    assert rooms_.id_hash_N.view(np.int64)[slot] == hash_of(RoomId("räum \U0001f3ae"))


@settings(deadline=None, max_examples=100)
@given(
    shown=st.lists(
        st.tuples(st.integers(0, 3_000_000), st.lists(st.integers(0, 40), max_size=20, unique=True)), max_size=20
    )
)
def test_it_agrees_with_sums_written_out(shown: list[tuple[int, list[int]]]) -> None:
    found = table(most=1_000)
    shown = sorted(shown, key=lambda one: one[0])
    for after_ms, numbers in shown:
        found.show(V, rooms(*numbers), NOW_MS + after_ms)
    until_ms = NOW_MS + max([after_ms for after_ms, _ in shown], default=0)
    lost_K = found.lost(V, SLOTS, until_ms)
    for room in range(41):
        times = [after_ms for after_ms, numbers in shown if room in numbers]
        expected = sum(0.5 ** ((until_ms - NOW_MS - after_ms) / HALF_LIFE_MS) for after_ms in times)
        assert (0.0 if lost_K is None else float(lost_K[room])) == pytest.approx(expected, abs=0.03)
