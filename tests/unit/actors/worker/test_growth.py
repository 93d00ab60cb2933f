"""Tests of what workers do with keys that move because topics have grown, on an in-memory log."""

from __future__ import annotations

import pytest

from streaming.events import RoomActivity
from streaming.log.codec import Decoder
from streaming.log.log import Partition
from streaming.log.partitioner import partition_of
from streaming.log.restore import last_values
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.troubles import Trouble
from streaming.viewer.presence import LATE_MS
from streaming.viewer.profile_config import ProfileConfig
from tests.reference import decoded
from tests.unit.actors.profiles.test_worker import Stage
from tests.unit.actors.room_stage import Stage as RoomStage

TIMEOUT_MS = 1_000 * ProfileConfig().presence_timeout_s
NAMES = [f"n{number}" for number in range(200)]
MOVES = next(name for name in NAMES if partition_of(name.encode(), 2) != partition_of(name.encode(), 4))
STAYS = next(name for name in NAMES if partition_of(name.encode(), 2) == partition_of(name.encode(), 4))


def grow_viewers(stage: Stage) -> None:
    for topic in (VIEWER_EVENTS, VIEWER_PROFILES):
        stage.log.grow(topic, 4)
    for _ in range(3):
        stage.turn()


def said(stage: Stage) -> list[RoomActivity]:
    return [one for p in stage.log.partitions(ROOM_ACTIVITY) for _, one in decoded(stage.log, p, "")]


def holders(stage: Stage, viewer: str) -> list[int]:
    return [
        partition.index
        for partition in stage.log.partitions(VIEWER_PROFILES)
        if viewer.encode() in last_values(stage.log, partition)
    ]


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_viewer_whose_key_moves_while_in_a_room_leaves_it_once(restarts: bool) -> None:
    stage = Stage()
    stage.send(MOVES, "enter")
    stage.send(STAYS, "enter")
    stage.turn()
    grow_viewers(stage)
    assert holders(stage, MOVES) == [partition_of(MOVES.encode(), 4)]
    if restarts:
        stage.start()
        stage.turn()
    for _ in range(6):
        stage.turn((TIMEOUT_MS + LATE_MS) // 4)
    assert sum(one.lapsed for one in said(stage)) == 2  # each of them once
    assert sum(one.entered - one.left for one in said(stage)) == 0
    assert holders(stage, MOVES) == [partition_of(MOVES.encode(), 4)]
    assert stage.metrics.value("presence_timeouts_total") == 2


def test_viewer_whose_key_moves_and_who_is_heard_of_stays() -> None:
    stage = Stage()
    stage.send(MOVES, "enter")
    stage.turn()
    grow_viewers(stage)
    for _ in range(12):
        stage.turn(TIMEOUT_MS - 10_000)
        stage.send(MOVES, "watch", seconds=30)
        stage.turn()
    assert sum(one.entered - one.left for one in said(stage)) == 1


def test_profile_that_lies_where_it_cannot_be_read_moves_once_it_can() -> None:
    stage = Stage()
    stage.send(MOVES, "enter")
    stage.send(STAYS, "enter")
    stage.turn()
    there = partition_of(MOVES.encode(), 2)
    stage.log.trouble(Trouble(VIEWER_PROFILES, there, 0, "damaged", "offset 0: a batch fails its checksum"))
    grow_viewers(stage)
    for _ in range(2):
        stage.turn(1_000)
    assert {(one.topic, one.partition) for one in stage.worker.status().troubles} <= {(VIEWER_PROFILES, there)}
    assert stage.worker.status().partitions == tuple(index for index in range(4) if index != there)  # the others work
    stage.log.mend(Partition(VIEWER_PROFILES, there))
    stage.start()  # as the loop does once the partition can be read
    for _ in range(20):
        stage.turn(1_000)
    assert holders(stage, MOVES) == [partition_of(MOVES.encode(), 4)]
    assert stage.worker.profile(MOVES)  # type: ignore[arg-type]


def test_room_that_lies_where_it_cannot_be_read_moves_once_it_can() -> None:
    stage = RoomStage()
    stage.send(stage.started(MOVES), stage.said(MOVES, "hello"))
    stage.turns(80)
    there = partition_of(MOVES.encode(), 2)
    stage.log.trouble(Trouble(ROOM_STATES, there, 0, "damaged", "offset 0: a batch fails its checksum"))
    for topic in (ROOMS, CHAT, ROOM_ACTIVITY, ROOM_STATES):
        stage.log.grow(topic, 4)
    stage.start()
    stage.turns(80)
    assert stage.worker.status().partitions == tuple(index for index in range(4) if index != there)
    stage.log.mend(Partition(ROOM_STATES, there))
    stage.start()
    stage.turns(40, advance_ms=1_000)
    found = {p.index: last_values(stage.log, p) for p in stage.log.partitions(ROOM_STATES)}
    assert [index for index, values in found.items() if MOVES.encode() in values] == [partition_of(MOVES.encode(), 4)]
    assert Decoder(ROOM_STATES)(found[partition_of(MOVES.encode(), 4)][MOVES.encode()]).messages == 1
