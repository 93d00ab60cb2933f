"""Tests of what a RoomWorker sets aside, dead letters and foreign records: at once, and once each."""

from __future__ import annotations

import zlib

import pytest

from streaming.log.codec import Decoder, encode
from streaming.log.log import Partition
from streaming.log.misplaced_records import MARK, is_copy
from streaming.log.partitioner import crc32_partition, fnv1a_partition, partition_of
from streaming.log.topics import CHAT, ROOMS
from streaming.troubles import Skipped
from tests.unit.actors.room_stage import Stage

AWAY = next(room for room in (f"r{n}" for n in range(99)) if partition_of(room.encode(), 2) == 1)
HOME = next(room for room in (f"r{n}" for n in range(99)) if partition_of(room.encode(), 2) == 0)


def quiet_partition(stage: Stage) -> None:
    """A partition whose room has chat that holds its position back, and in which nothing else happens."""
    stage.send(stage.started(HOME), stage.said(HOME, "hello"))
    stage.turns(80)


def test_dead_letter_of_a_quiet_partition_is_written_within_a_commit() -> None:
    stage = Stage()
    quiet_partition(stage)
    stage.producer.send(CHAT, HOME.encode(), None)
    stage.turns(3)
    assert [letter.topic for letter in stage.letters()] == [CHAT]


def test_loop_does_not_wait_long_with_a_dead_letter_to_write() -> None:
    stage = Stage()
    quiet_partition(stage)
    stage.producer.send(CHAT, HOME.encode(), None)
    stage.worker.apply(stage.source.poll(0))
    assert stage.worker.wait_s() <= 0.1


def test_dead_letter_is_written_by_a_clean_stop() -> None:
    stage = Stage()
    quiet_partition(stage)
    stage.producer.send(CHAT, HOME.encode(), None)
    stage.worker.apply(stage.source.poll(0))
    positions = stage.worker.publish(final=True)
    assert positions
    stage.sink.commit(stage.source, positions)
    stage.start()
    stage.turns(80)
    assert len(stage.letters()) == 1


def test_dead_letter_is_not_written_again_after_restarts() -> None:
    stage = Stage()
    quiet_partition(stage)
    stage.producer.send(CHAT, HOME.encode(), None)
    stage.send(stage.said(HOME, "after it"))
    stage.turns(3)
    for _ in range(3):
        stage.start()
        stage.turns(80)
    assert len(stage.letters()) == 1
    stage.producer.send(CHAT, HOME.encode(), b"another")
    stage.turns(3)
    assert [letter.value for letter in stage.letters()] == [None, b"another"]


def test_dead_letter_that_was_not_committed_is_written_by_the_next_process() -> None:
    stage = Stage()
    quiet_partition(stage)
    stage.producer.send(CHAT, HOME.encode(), None)
    stage.worker.apply(stage.source.poll(0))  # and is killed before it commits
    stage.start()
    stage.turns(3)
    assert len(stage.letters()) == 1


def foreign(stage: Stage, *records: object) -> None:
    """Sends like a producer that places keys elsewhere."""
    for record in records:
        topic = CHAT if type(record).__name__ == "ChatMessage" else ROOMS
        room = record.room.encode()  # type: ignore[attr-defined]
        stage.producer.send(topic, room, encode(record), 1 - partition_of(room, 2))  # type: ignore[arg-type]


def test_foreign_records_count_once_whatever_restarts() -> None:
    stage = Stage()
    foreign(stage, stage.started(AWAY), *(stage.said(AWAY, f"line {n}") for n in range(7)))
    stage.turns(80)
    assert stage.state(AWAY).messages == 7
    for _ in range(3):
        stage.start()
        stage.turns(80)
    foreign(stage, stage.said(AWAY, "one more"))
    stage.turns(80)
    assert stage.state(AWAY).messages == 8
    assert stage.state(AWAY).title == "a title"


def test_foreign_record_is_forwarded_once_where_its_position_is_held_back() -> None:
    stage = Stage()
    quiet_partition(stage)  # holds back the position of the partition in which the foreign record lies
    foreign(stage, stage.started(AWAY), stage.said(AWAY, "once"))
    stage.turns(80)
    for _ in range(3):
        stage.start()
        stage.turns(80)
    assert stage.state(AWAY).messages == 1
    there = [line.value for line in stage.log.read(Partition(CHAT, 1), 0, 100)]
    assert len([value for value in there if is_copy(value)]) == 1


def test_worker_killed_before_it_commits_forwards_nothing_twice() -> None:
    stage = Stage()
    quiet_partition(stage)
    foreign(stage, stage.started(AWAY), stage.said(AWAY, "once"))
    stage.worker.apply(stage.source.poll(0))
    stage.start()
    stage.turns(80)
    assert stage.state(AWAY).messages == 1


def test_copy_says_of_what_it_is_one_and_reads_as_the_original() -> None:
    stage = Stage()
    message = stage.said(AWAY, 'a "forwarded": {text} \\')
    foreign(stage, stage.started(AWAY), message)
    stage.turns(80)
    (copy,) = [line.value for line in stage.log.read(Partition(CHAT, 1), 0, 10)]
    assert copy is not None
    assert copy.endswith(MARK + b'"chat-0@0"}')
    assert Decoder(CHAT)(copy) == message
    assert not is_copy(encode(message))


def test_record_with_white_space_around_it_is_forwarded_whole() -> None:
    stage = Stage()
    foreign(stage, stage.started(AWAY))
    stage.producer.send(CHAT, AWAY.encode(), b" \n" + encode(stage.said(AWAY, "spaced")) + b"\r\n \t", 0)
    stage.turns(80)
    assert stage.state(AWAY).messages == 1


def test_order_of_a_foreign_room_is_kept() -> None:
    stage = Stage()
    foreign(stage, stage.started(AWAY, "one"))
    for title in ("two", "three", "four"):
        foreign(stage, stage.started(AWAY, title))
    stage.turns(80)
    assert stage.state(AWAY).title == "four"


@pytest.mark.parametrize(("name", "place"), [("crc32", crc32_partition), ("fnv1a", fnv1a_partition)])
def test_the_partitioner_is_guessed_counted_and_said_with_its_setting(
    name: str, place: object, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    rooms = [f"room{n}" for n in range(60)]
    for room in rooms:
        stage.producer.send(ROOMS, room.encode(), encode(stage.started(room)), place(room.encode(), 2))  # type: ignore[operator]
    stage.turns(120)
    assert len([room for room in rooms if stage.state(room)]) == 60
    wrong = [room for room in rooms if place(room.encode(), 2) != partition_of(room.encode(), 2)]  # type: ignore[operator]
    assert stage.metrics.value("records_forwarded_total", topic=ROOMS) == len(wrong)
    assert stage.metrics.value("records_forwarded_total", partitioner=name) >= len(wrong) - 4
    assert f"rooms {len(wrong)} ({name}" in stage.worker.status().foreign
    said = [one.getMessage() for one in caplog.records if "keys do not belong" in one.getMessage()]
    assert len(said) == 1
    assert ("partitioner=murmur2_random" in said[0]) == (name == "crc32")


def test_fnv1a_and_crc32_are_those_of_their_clients() -> None:
    # hash/fnv of Go: New32a of "" and "a" and "foobar"
    assert [fnv1a_partition(key, 1 << 31) for key in (b"", b"a", b"foobar")] == [
        2128831035,
        abs(0xE40C292C - (1 << 32)),
        abs(0xBF9CF968 - (1 << 32)),
    ]
    assert crc32_partition(b"room1", 7) == zlib.crc32(b"room1") % 7


def test_records_with_the_wrong_key_are_refused_where_they_lie() -> None:
    stage = Stage()
    stage.producer.send(ROOMS, b'"%s"' % AWAY.encode(), encode(stage.started(AWAY)))  # its serializer quotes the key
    stage.producer.send(ROOMS, AWAY.encode("utf-16"), encode(stage.started(AWAY)))
    stage.turns(10)
    assert len(stage.letters()) == 2
    assert all("key must be its room" in letter.error for letter in stage.letters())


def test_offsets_that_are_lost_become_one_letter_whatever_restarts() -> None:
    stage = Stage()
    quiet_partition(stage)  # holds its position back, so what follows is read again
    first = stage.log.end(Partition(CHAT, partition_of(HOME.encode(), 2)))
    stage.log.lose(Skipped(CHAT, partition_of(HOME.encode(), 2), first, first + 1, "a batch fails its checksum"))
    stage.send(stage.said(HOME, "lost"), stage.said(HOME, "lost too"))
    stage.turns(3)
    assert [(letter.offset, letter.last_offset) for letter in stage.letters()] == [
        (first, first + 1)
    ]  # within a commit
    for _ in range(3):
        stage.start()
        stage.turns(80)
    assert len(stage.letters()) == 1
    assert stage.metrics.value("dead_letters_total", topic=CHAT, reason="damaged") == 1


def test_offsets_that_were_lost_before_a_kill_without_a_commit_are_said_by_the_next_process() -> None:
    stage = Stage()
    quiet_partition(stage)
    first = stage.log.end(Partition(CHAT, partition_of(HOME.encode(), 2)))
    stage.log.lose(Skipped(CHAT, partition_of(HOME.encode(), 2), first, first, "why"))
    stage.send(stage.said(HOME, "lost"))
    stage.worker.apply(stage.source.poll(0))  # and is killed before it commits
    stage.start()
    stage.turns(3)
    assert [letter.offset for letter in stage.letters()] == [first]
