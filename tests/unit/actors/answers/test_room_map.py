"""Tests of actors.answers.room_map: which rooms a map has, where they lie, and that it costs nothing twice."""

from __future__ import annotations

import numpy as np
import pytest

from actors.answers.room_map import KEPT_MS, RoomMaps
from actors.answers.schema import MapPoint, RoomMap
from actors.settings import IndexConfig
from streaming.errors import RequestError
from tests.unit.actors.replica import AXES, Replica, axis


def between(one: int, other: int, share: float) -> bytes:
    """A vector between two axes."""
    vector = (1 - share) * np.eye(AXES)[one] + share * np.eye(AXES)[other]
    return bytes((vector / np.linalg.norm(vector)).astype("<f2").tobytes())


def staged(count: int = 40) -> tuple[Replica, RoomMaps]:
    replica = Replica()
    for number in range(count):
        replica.room(f"r{number:02d}", title_vector=between(number % 3, 3 + number % 5, 0.3), entered=number)
    return replica, RoomMaps(replica.recommender, replica.clock)


def later(replica: Replica, maps: RoomMaps, axes: str) -> RoomMap:
    replica.clock.advance(KEPT_MS)
    return maps.draw(300, None, axes)


def place(drawn: RoomMap, room: str) -> tuple[float, float]:
    point = next(point for point in drawn.rooms if point.room == room)
    return point.x, point.y


def test_the_largest_rooms_are_on_it_and_like_rooms_lie_together() -> None:
    _, maps = staged()
    drawn = maps.draw(30, None, "")
    assert [point.room for point in drawn.rooms][:3] == ["r39", "r38", "r37"]
    assert len(drawn.rooms) == 30
    assert drawn.live_rooms == 40
    assert drawn.explained > 0.5
    places = {point.room: (point.x, point.y) for point in drawn.rooms}
    assert places["r39"] == places["r24"], "the same vector"
    assert max(np.hypot(x, y) for x, y in places.values()) <= 1.001


def test_only_what_changed_moves() -> None:
    replica, maps = staged()
    before = maps.draw(300, None, "")
    replica.room("r00", title_vector=axis(7), entered=0)
    replica.room("new", title_vector=axis(1))
    after = later(replica, maps, before.axes)
    assert after.axes == before.axes
    moved = {p.room for p in after.rooms if p.room != "new" and place(before, p.room) != (p.x, p.y)}
    assert moved == {"r00"}


def test_a_map_is_drawn_at_most_once_a_second_for_one_wish() -> None:
    replica, maps = staged()
    first = maps.draw(300, None, "")
    replica.clock.advance(KEPT_MS - 1)
    assert maps.draw(300, None, "") is first
    assert maps.draw(10, None, "") is not first
    assert later(replica, maps, "") is not first
    for limit in range(1, 20):  # what nobody asks for any more is forgotten
        maps.draw(limit, None, "")
    assert len(maps._kept) <= 8


def test_ended_mature_and_unencoded_rooms_are_not_on_it() -> None:
    replica, maps = staged(9)
    replica.room("adult", mature=True)
    replica.room("silent", title_vector=b"")
    shown = {point.room for point in maps.draw(300, None, "").rooms}
    assert not shown & {"adult", "silent"}
    assert "adult" in {point.room for point in maps.draw(300, "any", "").rooms}
    replica.room("r03", status="ended")
    assert "r03" not in {point.room for point in later(replica, maps, "").rooms}


def test_drift_is_the_distance_from_what_was_said_before() -> None:
    replica, maps = staged(5)
    replica.room("steady", chat_vector=axis(1), mean_vector=axis(1))
    replica.room("turned", chat_vector=axis(1), mean_vector=axis(2))
    replica.room("began", chat_vector=axis(1))
    drifts = {point.room: point.drift for point in maps.draw(300, None, "").rooms}
    assert drifts["steady"] == pytest.approx(0.0, abs=1e-3)
    assert drifts["turned"] == pytest.approx(1.0, abs=1e-3)
    assert drifts["began"] is drifts["r01"] is None


def test_nothing_encoded_is_an_empty_map() -> None:
    replica = Replica(index=IndexConfig(max_rooms=10))
    maps = RoomMaps(replica.recommender, replica.clock)
    assert maps.draw(300, None, "").rooms == []
    replica.room("silent", title_vector=b"")
    drawn = later(replica, maps, "AAAA")
    assert (drawn.rooms, drawn.axes, drawn.live_rooms) == ([], "", 1)


def test_axes_that_no_map_gave_are_refused() -> None:
    _, maps = staged(3)
    with pytest.raises(RequestError, match="axes"):
        maps.draw(300, None, "A")


def test_a_point_says_what_the_room_is() -> None:
    replica, maps = staged(3)
    replica.room("r1", streamer="ana", title="Ranked", category="Chess", language="de", entered=90, left=10)
    point = maps.draw(1, None, "").rooms[0]
    assert isinstance(point, MapPoint)
    said = (point.room, point.streamer, point.title, point.category, point.language, point.audience, point.code)
    assert said == ("r1", "ana", "Ranked", "Chess", "de", 80, None)
