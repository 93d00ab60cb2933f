"""A replica for tests whose rooms are read by more than one encoder, and what all of it must be. Never a broker."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from actors.recommend.recommender import Query
from actors.recommend.schema import Answer
from actors.state.room_table import RoomTable
from streaming.events import OtherContent, RoomState
from streaming.log.codec import encode
from streaming.log.topics import ROOM_STATES
from streaming.room.content_slots import read_by
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.replica import Replica
from tests.unit.actors.swap_world import World
from training.content.content_vector import content_vectors

OLD, NEW, THIRD = "old", "new", "third"
LENGTHS = {OLD: 8, NEW: 6, THIRD: 8}  # dimensions; the third's are as many as the old one's
FIRST = {OLD: 0, NEW: 0, THIRD: 4}  # axes of each: vectors of two encoders with as many dimensions are not alike


def vector(encoder: str, number: int) -> bytes:
    """A vector by an encoder: an axis."""
    length = LENGTHS[encoder]
    return np.eye(length, dtype="<f2")[(FIRST[encoder] + number) % length].tobytes()


def content(encoder: str, number: int) -> OtherContent:
    """What an encoder has read of a room."""
    title, mean = vector(encoder, number), vector(encoder, number // 2)
    said_ms = 1_000 + len(encoder) + number
    return OtherContent(encoder, title_vector=title, mean_vector=mean, title_hash=1 + number, segment_end_ms=said_ms)


def read(number: int, *encoders: str) -> dict[str, Any]:
    """The fields of a state of a room that these encoders have read, the first in front."""
    if not encoders:
        return {"encoder_version": "", "title_vector": b""}
    own = msgspec.structs.asdict(content(encoders[0], number))
    return {**own, "other": content(encoders[1], number) if len(encoders) > 1 else None}


class TwoEncoders(World):
    """`one` and `two` read the old encoder, `next` and `after` the new one, `third` another. Rooms: read by the old."""

    def __init__(self, rooms: int = 40, shadow: float = 0.0, encoders: tuple[str, ...] = (OLD,)) -> None:
        super().__init__(0, shadow)
        by = {"one": OLD, "two": OLD, "next": NEW, "after": NEW, "third": THIRD}
        self.versions = {
            name: FakeVersion(name, LENGTHS[encoder], encoder_version=encoder, dimension=3 if encoder == NEW else 4)
            for name, encoder in by.items()
        }
        self.read(range(rooms), *encoders)
        self.replica.room("gone", **read(3, *encoders))
        self.replica.room("gone", status="ended", **read(3, *encoders))
        self.replica.viewer("v", "r1", "r2", "gone")

    def read(self, numbers: range, *encoders: str) -> None:
        """Rooms are read by these encoders from now on, and by no other."""
        for number in numbers:
            self.replica.room(f"r{number}", **read(number, *encoders))

    def later(self, version: str = "") -> None:
        """Lets a second pass. version: is announced as live before."""
        if version:
            self.announce(version)
        self.replica.clock.advance(1_000)
        self.turn()

    @property
    def rooms(self) -> RoomTable:
        return self.replica.tables.rooms

    def check(self, encoder: str, version: str) -> None:
        """All that answers is of one encoder and one version, and as it would be in a replica begun anew."""
        assert (self.rooms.encoder, self.embeddings.version) == (encoder, version)
        assert self.embeddings.encoder == encoder
        self.check_rows()
        check_space(self.rooms)
        for viewer in ("v", "stranger"):
            answer = self.answer(viewer)
            check_answer(answer, encoder, version)
            written = self.replica.recommender.recommend_json(Query(viewer=viewer))
            check_answer(msgspec.json.decode(written, type=Answer), encoder, version)


def check_answer(answer: Answer, encoder: str, version: str) -> None:
    """An answer, and each receipt in it, is of this version and this encoder, or of a room that nobody has read."""
    assert answer.rooms
    assert {answer.model_version, *(item.receipt.model_version for item in answer.rooms)} == {version}
    assert {item.receipt.encoder_version for item in answer.rooms} <= {encoder, ""}


def check_space(rooms: RoomTable) -> None:
    """What the table has of each room is what its encoder has read of the published state, and nothing else."""
    for slot, snapshot in rooms.by_slot.items():
        assert rooms.snapshots[snapshot.published.room] is snapshot
        assert snapshot.slot == slot
        _check_view(snapshot.state, snapshot.published, rooms.encoder)
        assert rooms.saw_ms_N[slot] == snapshot.saw_ms
        if rooms.dimension:
            np.testing.assert_array_equal(rooms.vectors_ND[slot], _vector(snapshot.published, rooms))
    assert len(rooms.by_slot) == len(rooms.snapshots) == len(rooms.slots())
    for room in rooms.ended:
        ended = rooms.ended.get(room)
        assert ended is not None
        _check_view(ended.state, ended.published, rooms.encoder)
        if rooms.dimension:
            assert ended.vector_D is not None
            np.testing.assert_array_equal(ended.vector_D, _vector(ended.published, rooms))


def _check_view(view: RoomState, published: RoomState, encoder: str) -> None:
    assert view == read_by(published, encoder)


def _vector(published: RoomState, rooms: RoomTable) -> np.ndarray:
    view = read_by(published, rooms.encoder)
    return content_vectors([view], rooms.dimension, rooms.title_weight)[0].astype(np.float16)


def begun_anew(world: TwoEncoders, encoder: str) -> Replica:
    """A replica that reads each room's newest state, with one of this encoder first."""
    anew = Replica()
    anew.clock.advance(world.replica.clock.now_ms() - anew.clock.now_ms())
    states = [snapshot.published for snapshot in world.rooms.by_slot.values()]
    states.sort(key=lambda state: encoder != state.encoder_version)
    ended = [one.published for room in world.rooms.ended if (one := world.rooms.ended.get(room)) is not None]
    for state in (*states, *ended):
        anew.send(ROOM_STATES, state.room, encode(state))
    return anew
