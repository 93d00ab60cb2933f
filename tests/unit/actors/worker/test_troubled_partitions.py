"""Tests of what workers and replicas do where a partition cannot be read: it is said, and the others are served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from actors.index.live_index import LiveIndex
from actors.settings import IndexConfig, RoomWorkerConfig, TablesConfig
from actors.state.table_reader import TableReader, Tables
from streaming.clock import SystemClock
from streaming.errors import LogUnavailable
from streaming.events import ViewerEvent
from streaming.log import restore
from streaming.log.codec import encode
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.partitioner import partition_of
from streaming.log.topics import CHAT, DEAD_LETTER, MODELS, ROOM_STATES, RULES, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.troubles import Skipped, Trouble
from tests.reference import published_profiles
from tests.unit.actors.profiles.test_worker import Stage as ProfileStage
from tests.unit.actors.replica import Replica
from tests.unit.actors.room_stage import Stage

ROOMS_OF = [[room for room in map("room{}".format, range(20)) if partition_of(room.encode(), 2) == i] for i in (0, 1)]
HERE, THERE = ROOMS_OF[0][0], ROOMS_OF[1][0]  # in partition 0 and in partition 1


def damaged(topic: str, partition: int, offset: int) -> Trouble:
    return Trouble(topic, partition, offset, "damaged", f"offset {offset}: a batch fails its checksum")


def test_a_worker_says_which_partition_it_does_not_read_and_works_the_others() -> None:
    stage = Stage()
    stage.send(stage.started(HERE), stage.started(THERE))
    stage.turns(3)
    stage.log.trouble(damaged(CHAT, 0, 0))
    stage.send(stage.said(HERE, "unheard"), stage.said(THERE, "heard"))
    stage.turns(60)
    assert stage.state(THERE).messages == 1
    assert stage.state(HERE).messages == 0
    status = stage.worker.status()
    assert [(one.topic, one.partition, one.reader) for one in status.troubles] == [(CHAT, 0, "room-workers")]
    assert stage.metrics.value("log_partition_troubles", topic=CHAT, kind="damaged") == 1
    stage.log.mend(Partition(CHAT, 0))
    stage.turns(60)
    assert stage.state(HERE).messages == 1
    assert stage.worker.status().troubles == ()
    assert stage.metrics.value("log_partition_troubles", topic=CHAT, kind="damaged") == 0


def test_a_room_whose_chat_cannot_be_read_is_not_presumed_to_have_ended() -> None:
    stage = Stage(config=RoomWorkerConfig(room_timeout_s=10))
    stage.send(stage.started(HERE), stage.started(THERE))
    stage.turns(3)
    stage.log.trouble(damaged(CHAT, 0, 0))
    stage.turns(30, advance_ms=1_000)
    assert stage.state(THERE).status == "presumed_ended"
    assert stage.state(HERE).status == "live"


def test_lost_chat_becomes_one_letter_with_its_offsets_and_what_follows_counts() -> None:
    stage = Stage()
    stage.send(stage.started(HERE))
    for number in range(6):
        stage.send(stage.said(HERE, f"text {number}", viewer=f"v{number}"))
    stage.log.lose(Skipped(CHAT, 0, 2, 4, "a batch fails its checksum"))
    stage.turns(60)
    assert stage.state(HERE).messages == 3
    assert [(one.topic, one.partition, one.offset, one.last_offset) for one in stage.letters()] == [(CHAT, 0, 2, 4)]
    assert stage.metrics.value("log_offsets_skipped_total", reader="room-workers", topic=CHAT) == 3


def test_offsets_lost_at_the_end_are_committed_so_that_a_restart_goes_on_behind_them() -> None:
    stage = Stage()
    stage.log.lose(Skipped(CHAT, 0, 0, 1, "why"))
    stage.send(stage.said(HERE, "lost"), stage.said(HERE, "lost too"))
    stage.turns(60)
    stage.start()
    stage.turns(60)
    assert [letter.last_offset for letter in stage.letters()] == [1]


def test_a_partition_whose_states_cannot_be_read_back_waits_and_the_others_are_worked() -> None:
    stage = Stage()
    stage.send(stage.started(HERE), stage.started(THERE))
    stage.turns(5)
    stage.log.trouble(damaged(ROOM_STATES, 0, 0))
    stage.start()
    stage.send(stage.said(HERE, "unheard"), stage.said(THERE, "heard"))
    stage.turns(80)
    assert stage.state(THERE).messages == 1
    trouble = stage.log.troubles.pop(Partition(ROOM_STATES, 0))
    assert stage.state(HERE).messages == 0
    stage.log.trouble(trouble)
    assert [(one.topic, one.partition) for one in stage.worker.status().troubles] == [(ROOM_STATES, 0)]
    stage.log.mend(Partition(ROOM_STATES, 0))
    with pytest.raises(LogUnavailable, match="room-states partition 0 can be read again"):
        stage.turns(20, advance_ms=1_000)  # the loop begins a new session
    stage.start()
    stage.turns(80)
    assert stage.state(HERE).messages == 1
    assert stage.worker.status().troubles == ()


def test_states_behind_an_open_transaction_are_waited_for_and_the_others_are_worked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(restore, "HELD_S", 0.1)
    stage = Stage()
    stage.send(stage.started(HERE), stage.started(THERE))
    stage.turns(5)
    stage.log.held.add(Partition(ROOM_STATES, 0))
    stage.start()
    stage.send(stage.said(HERE, "unheard"), stage.said(THERE, "heard"))
    stage.turns(80)
    assert [(one.topic, one.partition, one.kind) for one in stage.worker.status().troubles] == [
        (ROOM_STATES, 0, "held")
    ]
    stage.log.held.clear()
    assert (stage.state(HERE).messages, stage.state(THERE).messages) == (0, 1)
    with pytest.raises(LogUnavailable, match="room-states partition 0 can be read again"):
        stage.turns(20, advance_ms=1_000)
    stage.start()
    stage.turns(80)
    assert stage.state(HERE).messages == 1


def test_lost_states_are_said_in_a_letter_when_rooms_are_read_back() -> None:
    stage = Stage()
    stage.send(stage.started(HERE))
    stage.turns(5)
    stage.log.lose(Skipped(ROOM_STATES, 0, 0, 0, "why"))
    stage.start()
    stage.send(stage.started(ROOMS_OF[0][1]))
    stage.turns(5)
    assert [(letter.topic, letter.offset) for letter in stage.letters()] == [(ROOM_STATES, 0)]


def test_a_partition_whose_profiles_cannot_be_read_back_waits_and_the_others_are_worked() -> None:
    stage = ProfileStage()
    viewers = {partition_of(f"v{number}".encode(), 2): f"v{number}" for number in range(20)}
    for viewer in viewers.values():
        stage.send(viewer, "enter")
    stage.turn()
    stage.log.trouble(damaged(VIEWER_PROFILES, 0, 0))
    stage.start()
    for viewer in viewers.values():
        stage.send(viewer, "like")
    for _ in range(80):
        stage.turn()
    assert published_profiles(well(stage.log))[viewers[1]].total_events == 2
    assert [(one.topic, one.partition) for one in stage.worker.status().troubles] == [(VIEWER_PROFILES, 0)]
    stage.log.mend(Partition(VIEWER_PROFILES, 0))
    with pytest.raises(LogUnavailable, match="viewer-profiles partition 0 can be read again"):
        for _ in range(20):
            stage.turn(1_000)
    stage.start()
    stage.turn()
    assert published_profiles(stage.log)[viewers[0]].total_events == 2
    stage.assert_as_expected()


def well(log: MemoryLog) -> MemoryLog:
    """The same log as somebody sees it who can read everything."""
    seen = MemoryLog(SystemClock(), {VIEWER_EVENTS: 2, VIEWER_PROFILES: 2, DEAD_LETTER: 1})
    sink = seen.sink()
    for partition in log.partitions(VIEWER_PROFILES):
        troubles, log.troubles = log.troubles, {}
        for record in log.read(partition, 0, 10_000):
            sink.send(VIEWER_PROFILES, record.key, record.value, partition.index)
        log.troubles = troubles
    return seen


def test_lost_viewer_events_become_a_letter() -> None:
    stage = ProfileStage()
    event = ViewerEvent(viewer="v", room="r", streamer="s", action="like", at_ms=stage.clock.now_ms(), seconds=0.0)
    index = partition_of(b"v", 2)
    for _ in range(4):
        stage.producer.send(VIEWER_EVENTS, b"v", encode(event), index)
    stage.log.lose(Skipped(VIEWER_EVENTS, index, 1, 3, "why"))
    for _ in range(5):
        stage.turn()
    stage.start()
    for _ in range(5):
        stage.turn()
    assert len(stage.log.read(Partition(DEAD_LETTER, 0), 0, 100)) == 1
    assert stage.metrics.value("log_offsets_skipped_total", reader="profile-workers", topic=VIEWER_EVENTS) == 3


@contextmanager
def followed(log: MemoryLog) -> Iterator[tuple[TableReader, Tables]]:
    metrics, clock = MemoryMetrics(), SystemClock()
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=100)), metrics, clock, max_rooms=100)
    reader, stop = TableReader(log, tables, metrics), threading.Event()
    thread = threading.Thread(target=reader.run, args=(stop,))
    thread.start()
    try:
        yield reader, tables
    finally:
        stop.set()
        thread.join()


def soon(condition: Callable[[], bool]) -> bool:
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.02) for _ in range(500))


def replica_log() -> tuple[MemoryLog, Callable[[str, int], None]]:
    log, story = MemoryLog(SystemClock(), {ROOM_STATES: 2, VIEWER_PROFILES: 2, MODELS: 1, RULES: 1}), Replica()
    sink = log.sink()
    return log, lambda room, index: sink.send(ROOM_STATES, room.encode(), encode(story.state(room)), index)


def test_a_replica_answers_without_the_rooms_of_a_partition_that_it_cannot_read() -> None:
    log, send = replica_log()
    for number in range(4):
        send(f"here{number}", 0)
        send(f"there{number}", 1)
    log.trouble(damaged(ROOM_STATES, 0, 2))
    with followed(log) as (reader, tables):
        assert soon(lambda: reader.ready)  # what became of here0 and here1 stands behind the damage
        assert sorted(tables.rooms.snapshots) == ["there0", "there1", "there2", "there3"]
        assert [(one.topic, one.partition, one.reader) for one in reader.troubles()] == [(ROOM_STATES, 0, "replica")]
        send("there4", 1)
        assert soon(lambda: "there4" in tables.rooms.snapshots)
        log.mend(Partition(ROOM_STATES, 0))
        assert soon(lambda: len(tables.rooms) == 9)
        assert soon(lambda: not reader.troubles())


def test_rooms_go_when_their_partition_can_no_longer_be_read_and_come_back_with_it() -> None:
    log, send = replica_log()
    send("here", 0)
    send("there", 1)
    with followed(log) as (reader, tables):
        assert soon(lambda: reader.ready and len(tables.rooms) == 2)
        log.trouble(damaged(ROOM_STATES, 0, 1))
        assert soon(lambda: sorted(tables.rooms.snapshots) == ["there"])
        log.mend(Partition(ROOM_STATES, 0))
        assert soon(lambda: sorted(tables.rooms.snapshots) == ["here", "there"])


def test_an_open_transaction_hides_no_room() -> None:
    log, send = replica_log()
    send("here", 0)
    log.trouble(Trouble(ROOM_STATES, 0, 1, "held", "an open transaction"))
    with followed(log) as (reader, tables):
        assert soon(lambda: reader.ready and bool(reader.troubles()))
        assert sorted(tables.rooms.snapshots) == ["here"]


def test_a_replica_says_which_topic_was_made_anew_and_drops_what_it_said() -> None:
    log, send = replica_log()
    send("here", 0)
    send("there", 1)
    with followed(log) as (reader, tables):
        assert soon(lambda: reader.ready and len(tables.rooms) == 2)
        assert reader.anew_text == ""
        log.remake(ROOM_STATES)
        assert soon(lambda: not tables.rooms.snapshots)
        assert reader.anew_text.startswith(f"{ROOM_STATES} since ")
        send("after", 0)
        assert soon(lambda: sorted(tables.rooms.snapshots) == ["after"])


def test_rooms_of_a_partition_that_came_back_are_right_after_topics_have_grown() -> None:
    log, send = replica_log()
    send("here", 0)
    send("there", 1)
    with followed(log) as (reader, tables):
        assert soon(lambda: reader.ready and len(tables.rooms) == 2)
        log.trouble(damaged(ROOM_STATES, 0, 1))
        assert soon(lambda: sorted(tables.rooms.snapshots) == ["there"])
        log.grow(ROOM_STATES, 3)
        send("new", 2)
        assert soon(lambda: sorted(tables.rooms.snapshots) == ["new", "there"])
        log.mend(Partition(ROOM_STATES, 0))
        assert soon(lambda: sorted(tables.rooms.snapshots) == ["here", "new", "there"])
