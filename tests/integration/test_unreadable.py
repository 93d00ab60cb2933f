"""Readers of a real Kafka and what they cannot read: its partition stops and says so, others go on."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from deploy.terminal.letters import Letters
from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.archive.reader import Archive
from streaming.archive.store import open_store
from streaming.broker import KafkaAdmin, KafkaLog, standstill
from streaming.clock import SystemClock
from streaming.errors import Fenced, Unreadable
from streaming.events import DeadLetter
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka
from streaming.log.codec import encode
from streaming.log.log import Partition, Record, Source
from streaming.log.restore import last_values
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, DEAD_LETTER, ROOM_STATES, TopicsConfig
from streaming.metrics import MemoryMetrics
from streaming.troubles import Skipped
from tests.contract.opened_log import read, settle, values
from tests.stored_log import ATTRIBUTES_AT, StoredPartition

CODEC_BYTE = ATTRIBUTES_AT + 1
A, B = Partition("a", 0), Partition("a", 1)


class World:
    """A topic `a` of two partitions, what lies in its files, and the sources that were opened."""

    def __init__(self, config: KafkaConfig, prefix: str, folder: Path) -> None:
        self.config, self.prefix, self.folder = config, prefix, folder
        self.log = KafkaLog(config, prefix)
        self.skipping = KafkaLog(config, prefix, skip_damaged=True)
        self._sources: list[Source] = []

    def create(self, topic: str = "a", **settings: str) -> None:
        given = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "4194304", **settings}
        with KafkaAdmin(self.config) as admin:
            admin.create(self.prefix + topic, partitions=2, replication_factor=1, settings=given)

    def write(self, *batches: list[bytes], codec: str | None = None, topic: str = "a", index: int = 0) -> None:
        """Each list becomes a batch or two; by kafka-python, as any producer would."""
        options = {"compression_type": codec, "batch_size": 4_000_000, "max_request_size": 8_000_000, "linger_ms": 50}
        producer = KafkaProducer(**self.config.client(), **options)
        for batch in batches:
            for value in batch:
                producer.send(self.prefix + topic, key=b"k", value=value, partition=index)
            producer.flush()
        producer.close()

    def stored(self, topic: str = "a", index: int = 0) -> StoredPartition:
        return StoredPartition(self.folder, self.prefix + topic, index)

    def reader(self, *partitions: Partition, log: KafkaLog | None = None) -> Source:
        source = (log or self.log).reader(partitions)
        self._sources.append(source)
        return source

    def close(self) -> None:
        for source in self._sources:
            source.close()


@pytest.fixture
def world(
    kafka_config: KafkaConfig, topic_prefix: str, local_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setattr(standstill, "RETRY_S", 0.3)
    monkeypatch.setattr(standstill, "STILL_S", 0.5)
    monkeypatch.setattr(standstill, "LOOK_S", 0.1)
    world = World(kafka_config, topic_prefix, Path(local_kafka.status().folder))
    yield world
    world.close()


def numbered(count: int, size: int = 40) -> list[bytes]:
    return [b"%d " % number * (size // 4) for number in range(count)]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_what_a_broker_or_a_client_packs_with_any_codec_is_read(world: World, codec: str) -> None:
    large = [bytes([65 + number]) * 900_000 for number in range(4)]  # a batch that unpacks to more than 3 MB
    world.create("packed-by-the-broker", **{"compression.type": codec})  # Java's own streams
    world.create("packed-by-a-client")
    for topic in ("packed-by-the-broker", "packed-by-a-client"):
        world.write(numbered(500), large, codec=None if "broker" in topic else codec, topic=topic)
        assert world.stored(topic).codecs() == {{"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}[codec]}
        source = world.reader(Partition(topic, 0))
        assert values(read(source, 504)) == numbered(500) + large
        assert source.troubles() == []


def test_a_batch_with_an_unknown_codec_stops_its_partition_alone_until_it_can_be_read(world: World) -> None:
    world.create()
    world.write([b"1", b"2"], [b"3"], [b"4", b"5"])
    world.write([b"other"], index=1)
    stored = world.stored()
    batch = next(batch for batch in stored.batches() if batch.first <= 2 <= batch.last)
    stored.rewrite(batch, CODEC_BYTE, b"\x05")
    group = world.log.group(["a"], "g", "0")
    try:
        assert b"other" in values(read(group, batch.first + 1))
        settle(group, until=lambda: bool(group.troubles()))
        [trouble] = group.troubles()
        assert (trouble.topic, trouble.partition, trouble.offset, trouble.kind) == ("a", 0, batch.first, "codec")
        assert "codec 5" in trouble.message
        settle(group, until=lambda: group.lag()[A] == 5 - batch.first)
        world.write([b"later"], index=1)
        assert values(read(group, 1)) == [b"later"]  # while it stands
        assert group.lag()[A] == 5 - batch.first
        stored.rewrite(batch, CODEC_BYTE, b"\x00")
        assert len(read(group, 5 - batch.first)) == 5 - batch.first
        settle(group, until=lambda: not group.troubles())
    finally:
        group.close()


def test_a_damaged_batch_stops_its_partition_and_says_where_and_how_to_go_on(world: World) -> None:
    world.create()
    world.write([b"1"], [b"2"], [b"3"])
    stored = world.stored()
    stored.flip(stored.batches()[1], 66)
    reader = world.reader(A, B)
    assert values(read(reader, 1)) == [b"1"]
    settle(reader, until=lambda: bool(reader.troubles()))
    [trouble] = reader.troubles()
    assert (trouble.offset, trouble.kind) == (1, "damaged")
    assert "log.skip_damaged" in trouble.message
    settle(reader, until=lambda: reader.lag()[A] == 2)


@pytest.mark.parametrize(
    "at",
    [pytest.param(66, id="a value"), pytest.param(7, id="first offset"), pytest.param(0, id="first offset, negative"),
     pytest.param(11, id="length, a little"), pytest.param(9, id="length, beyond the file"),
     pytest.param(8, id="length, negative"), pytest.param(16, id="format"), pytest.param(18, id="checksum"),
     pytest.param(22, id="attributes"), pytest.param(26, id="last offset"), pytest.param(60, id="number of records")],
)  # fmt: skip
@pytest.mark.parametrize("place", ["in the middle", "at the end"])
def test_damage_anywhere_in_a_batch_is_passed_over_where_that_is_wished_and_the_offsets_are_said(
    world: World, at: int, place: str
) -> None:
    world.create(**{"index.interval.bytes": "1"})  # else a broker finds nothing behind a length for 4 KiB
    world.write(*[[b"%d" % number] for number in range(6)])
    stored = world.stored()
    wrong = 3 if place == "in the middle" else 5
    stored.flip(stored.batches()[wrong], at, 0x80 if at in (0, 8) else 0x41)
    reader, skipped = world.reader(A, log=world.skipping), list[Skipped]()
    good = [b"%d" % number for number in range(6) if number != wrong]
    found: list[bytes | None] = []

    def all_there() -> bool:
        batch = reader.poll(0.1)
        skipped.extend(batch.skipped)
        found.extend(record.value for record in batch.records.get(A, ()))
        return len(found) >= len(good) + len(late)

    late: list[bytes] = []
    if place == "at the end":
        settle(until=lambda: all_there() and bool(skipped))  # though nothing good stands behind it
        assert reader.lag()[A] == 0
        late = [b"late 1", b"late 2"]
        world.write(*[[value] for value in late])
    settle(until=lambda: all_there() and bool(skipped))
    assert found == good + late
    assert [(one.topic, one.partition, one.first, one.last) for one in skipped] == [("a", 0, wrong, wrong)]
    settle(reader, until=lambda: not reader.troubles())


def test_what_is_packed_with_an_unknown_codec_is_not_passed_over(world: World) -> None:
    world.create()
    world.write([b"1"], [b"2"], [b"3"])
    stored = world.stored()
    stored.rewrite(stored.batches()[1], CODEC_BYTE, b"\x06")
    reader = world.reader(A, log=world.skipping)
    batches = settle(reader, until=lambda: bool(reader.troubles()))
    assert [trouble.kind for trouble in reader.troubles()] == ["codec"]
    assert not any(batch.skipped for batch in batches)


def test_reading_a_compacted_partition_back_fails_with_the_place_or_passes_over_it(world: World) -> None:
    world.create()
    world.write([b"1"], [b"2"], [b"3"])
    stored = world.stored()
    stored.flip(stored.batches()[1], 66)
    with pytest.raises(Unreadable, match="a partition 0: offset 1: a batch fails its checksum"):
        last_values(world.log, A)
    lost: list[Skipped] = []
    assert last_values(world.skipping, A, lost.append) == {b"k": b"3"}
    assert [(one.first, one.last) for one in lost] == [(1, 1)]


def test_a_compacted_partition_whose_last_batch_is_damaged_is_read_back_where_that_is_wished(world: World) -> None:
    """Whoever writes to it reads it back first, so waiting for a good batch behind the damage would last for ever."""
    world.create()
    world.write([b"1"], [b"2"])
    stored = world.stored()
    stored.flip(stored.batches()[1], 66)
    lost: list[Skipped] = []
    assert last_values(world.skipping, A, lost.append) == {b"k": b"1"}
    assert [(one.first, one.last) for one in lost] == [(1, 1)]


def test_a_partition_is_not_read_back_while_a_transaction_keeps_back_what_was_written_last(world: World) -> None:
    world.create()
    world.write([b"1"])
    with open_transaction(world) as producer:
        world.write([b"2"])
        with pytest.raises(Unreadable, match=r"a partition 0: offset 1: .*transaction") as raised:
            last_values(world.log, A)
        assert raised.value.trouble.kind == "held"
        producer.abort_transaction()
    assert last_values(world.log, A) == {b"k": b"2"}


@contextlib.contextmanager
def open_transaction(world: World) -> Iterator[KafkaProducer]:
    """Somebody's, that has written to the first partition of the topic."""
    options = {"transactional_id": f"{world.prefix}somebody", "transaction_timeout_ms": 50_000}
    producer = KafkaProducer(**world.config.client(), **options)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(f"{world.prefix}a", key=b"k", value=b"uncommitted", partition=0).get(timeout=30)
    yield producer
    producer.close()


def test_letters_are_shown_up_to_the_damage_and_what_is_missing_is_said(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.create(DEAD_LETTER)
    letter = DeadLetter(topic=CHAT, partition=0, offset=7, key=None, value=b"v", error="why", at_ms=1)
    world.write([encode(letter)], [encode(letter)], topic=DEAD_LETTER)
    world.write([encode(letter)], topic=DEAD_LETTER, index=1)
    stored = world.stored(DEAD_LETTER)
    stored.flip(stored.batches()[1], 66)
    letters = Letters(world.log)
    assert len(letters.newest(10)) == 2
    assert letters.unread == {Partition(DEAD_LETTER, 0)}
    assert "dead-letter partition 0: offset 1: a batch fails its checksum" in capsys.readouterr().err
    letters.close()
    passing = Letters(world.skipping)
    assert len(passing.newest(10)) == 2
    assert not passing.unread
    assert "offsets 1 to 1 are lost" in capsys.readouterr().err
    passing.close()


def test_the_archiver_writes_everything_else_and_then_says_what_it_could_not_read(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with KafkaAdmin(world.config) as admin:
        check_topics(admin, TopicsConfig(world.prefix, 2, 2))
    world.write([b"1"], [b"2"], [b"3"], topic=CHAT)
    world.write([b"other"], topic=CHAT, index=1)
    world.write([b"state"], topic=ROOM_STATES)
    stored = world.stored(CHAT)
    stored.rewrite(stored.batches()[1], CODEC_BYTE, b"\x07")

    def archiver(log: KafkaLog) -> Archiver:
        return Archiver(log, ArchiveConfig(uri=str(tmp_path)), MemoryMetrics(), SystemClock())

    with pytest.raises(Unreadable, match=r"chat partition 0: offset 1: .*codec 7"):
        archiver(world.log).run_once(threading.Event())
    archive = Archive(open_store(str(tmp_path)))
    assert {(file.partition.topic, file.partition.index, file.last) for file in archive.files()} == {
        (CHAT, 0, 0), (CHAT, 1, 0), (ROOM_STATES, 0, 0),
    }  # fmt: skip
    assert sum("codec 7" in record.getMessage() for record in caplog.records) == 1
    stored.rewrite(stored.batches()[1], CODEC_BYTE, b"\x00")
    archiver(world.log).run_once(threading.Event())
    assert {file.last for file in Archive(open_store(str(tmp_path))).files() if file.partition == (CHAT, 0)} == {0, 2}


def test_an_open_transaction_that_holds_a_partition_is_said_with_its_producer_until_it_ends(world: World) -> None:
    world.create()
    with open_transaction(world) as producer:
        world.write([b"behind it"])
        world.write([b"elsewhere"], index=1)
        reader = world.reader(A, B)
        assert values(read(reader, 1)) == [b"elsewhere"]
        settle(reader, until=lambda: bool(reader.troubles()))
        [trouble] = reader.troubles()
        assert (trouble.topic, trouble.partition, trouble.offset, trouble.kind) == ("a", 0, 0, "held")
        assert f"{world.prefix}somebody" in trouble.message
        assert "50 s" in trouble.message
        producer.abort_transaction()
        assert values(read(reader, 1)) == [b"behind it"]
        settle(reader, until=lambda: not reader.troubles())


def test_a_partition_that_is_only_quiet_is_in_no_trouble(world: World) -> None:
    world.create()
    world.write([b"1"])
    sink = world.log.sink("t")
    sink.send("a", b"k", b"2", 0)
    sink.flush()
    world_commit(world, sink.commit)
    reader = world.reader(A, B)
    assert values(read(reader, 2)) == [b"1", b"2"]
    for _ in range(20):
        reader.poll(0.1)
        assert reader.troubles() == []
    sink.close()


def world_commit(world: World, commit: Callable[[Source, dict[Partition, int]], None]) -> None:
    group = world.log.group(["a"], "committer", "0")
    try:
        settle(until=lambda: bool(group.poll(0.1).assigned))
        commit(group, {})
    finally:
        group.close()


def test_two_installations_under_the_same_names_are_told_of_the_prefix(world: World) -> None:
    world.create()
    ours, theirs = KafkaLog(world.config, world.prefix), KafkaLog(world.config, world.prefix)
    first = ours.group(["a"], "room-workers", "room-worker-0")
    settle(first, until=lambda: bool(first.lag()))
    second = theirs.group(["a"], "room-workers", "room-worker-0")
    try:
        with pytest.raises(Fenced, match=r"room-worker-0.*topics\.prefix"):
            settle(first, second, until=lambda: False)
        old, new = ours.sink("room-workers-0"), theirs.sink("room-workers-0")
        old.send("a", b"k", b"v", 0)
        with pytest.raises(Fenced, match=r"topics\.prefix"):
            old.commit(second, {})
        new.close()
        old.close()
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("skips", [False, True])
def test_a_batch_that_was_written_while_the_broker_answered_is_read_and_no_trouble(
    world: World, monkeypatch: pytest.MonkeyPatch, skips: bool
) -> None:
    """A broker reads the log's end before it reads the log. With `skip_damaged` such a record was lost."""
    hear, early = standstill.Standstills.hear, []

    def heard(self: standstill.Standstills, partition: Any, there: Any, offset: int) -> None:
        if partition.records and not early:
            early.append(offset)
            partition.high_watermark -= 1
        hear(self, partition, there, offset)

    monkeypatch.setattr(standstill.Standstills, "hear", heard)
    world.create()
    source = world.reader(A, log=world.skipping if skips else world.log)
    for number in range(3):
        world.write([b"%d" % number])
    found: list[Record] = []
    for _ in range(50):
        if len(found) < 3:
            found += source.poll(0.2).records.get(A, ())
        assert source.troubles() == []
    assert early
    assert values(found) == [b"0", b"1", b"2"]
