"""Tests of what a replica holds and how it follows the log. Never starts a broker."""

from __future__ import annotations

import threading

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query
from actors.settings import IndexConfig, TablesConfig
from actors.state.table_reader import TableReader, Tables
from actors.state.viewer_table import ENTRY_BYTES, ViewerTable
from streaming.clock import SystemClock
from streaming.events import ViewerId
from streaming.log.codec import Decoder, encode
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import MODELS, ROOM_STATES, RULES, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from tests.unit.actors.replica import Replica, axis


def test_a_state_behind_the_one_held_is_ignored() -> None:
    replica = Replica()
    old = replica.state("a", title="old")
    replica.room("a", title="new")
    replica.send(ROOM_STATES, "a", encode(old))
    assert replica.recommender.room("a").title == "new"
    assert replica.metrics.value("stale_states_total") == 1


def test_a_state_behind_the_end_does_not_revive_the_room() -> None:
    replica = Replica()
    old = replica.state("a")
    replica.room("a", status="ended")
    replica.send(ROOM_STATES, "a", encode(old))
    assert replica.shown("v") == []


def test_what_an_ended_room_was_about_does_not_depend_on_when_it_was_read() -> None:
    first, last = Replica(), Replica()
    first.room("gone", status="ended", title_vector=axis(1))
    for replica in (first, last):
        replica.room("other", title_vector=axis(0))
        replica.room("alike", title_vector=axis(1))
    last.room("gone", status="ended", title_vector=axis(1))
    for replica in (first, last):
        replica.viewer("v", "gone")
        (alike, other) = replica.recommender.recommend(Query(viewer="v", explain=True)).rooms
        assert (alike.room, other.room) == ("alike", "other")
        assert alike.terms is not None
        assert other.terms is not None
        assert alike.terms["content"] > other.terms["content"]


def test_bytes_that_are_no_record_are_counted_and_delay_nothing() -> None:
    replica = Replica()
    replica.room("a")
    replica.send(ROOM_STATES, "b", b"\xff\x00 not a state")
    replica.send(VIEWER_PROFILES, "v", b"\xff")
    assert replica.shown("v") == ["a"]
    assert replica.metrics.value("undecodable_total", topic=ROOM_STATES) == 1
    assert replica.metrics.value("undecodable_total", topic=VIEWER_PROFILES) == 1


def test_a_room_without_a_slot_is_counted() -> None:
    replica = Replica(index=IndexConfig(max_rooms=1))
    replica.room("a")
    replica.room("b")
    assert replica.shown("v") == ["a"]
    assert replica.metrics.value("rooms_unplaced_total") == 1


def test_the_basis_turns_with_the_number_of_vectors_and_rests_while_rooms_wait_for_theirs() -> None:
    replica = Replica(tables=TablesConfig(index_dimension=4))
    for number in range(2):
        replica.room(f"encoded {number}", title_vector=axis(number))
    assert replica.tables.rooms.basis_version == 1
    for number in range(50):
        replica.room(f"waits {number}", title_vector=b"")
    assert replica.tables.rooms.basis_version == 1
    for number in range(2):
        replica.room(f"waits {number}", title_vector=axis(number))
    assert replica.tables.rooms.basis_version == 2


def test_freshness_is_observed_once_per_message_and_only_once_current() -> None:
    replica = Replica()
    replica.room("a")
    assert replica.metrics.observed("freshness_seconds", stage="total") == []
    replica.tables.current = True
    replica.room("a", appended_ms=replica.clock.now_ms() - 100, published_ms=replica.clock.now_ms() - 40)
    replica.room("a", appended_ms=replica.clock.now_ms() - 100, published_ms=replica.clock.now_ms() - 40)
    assert replica.metrics.observed("freshness_seconds", stage="total") == [0.1]
    assert replica.metrics.observed("freshness_seconds", stage="published") == [0.06]


def test_profiles_stay_inside_their_memory_and_the_least_recent_goes_first() -> None:
    table = ViewerTable(3 * (ENTRY_BYTES + 101), Decoder(VIEWER_PROFILES))
    evicted = [table.put(ViewerId(viewer), bytes(100)) for viewer in "abc"]
    assert table.raw(ViewerId("a")) is not None  # asked for, so "b" is the least recent
    assert [*evicted, table.put(ViewerId("d"), bytes(100))] == [0, 0, 0, 1]
    assert table.raw(ViewerId("b")) is None
    assert table.held_bytes == 3 * (ENTRY_BYTES + 101)


def test_the_reader_is_ready_once_it_has_caught_up_and_keeps_serving_while_the_log_is_away() -> None:
    clock, metrics = SystemClock(), MemoryMetrics()
    log = MemoryLog(clock, {ROOM_STATES: 2, VIEWER_PROFILES: 2, MODELS: 1, RULES: 1})
    sink = log.sink()
    story = Replica()
    for number in range(20):
        sink.send(ROOM_STATES, f"r{number}".encode(), encode(story.state(f"r{number}")))
    sink.flush()
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=100)), metrics, clock, max_rooms=100)
    reader = TableReader(log, tables, metrics)
    assert not reader.ready
    stop = threading.Event()
    thread = threading.Thread(target=reader.run, args=(stop,))
    thread.start()
    try:
        assert _soon(lambda: reader.ready)
        assert len(tables.rooms) == 20
        log.pause()
        assert _soon(lambda: reader.contact_age_s() > 0)
        assert len(tables.rooms) == 20
        log.resume()
        sink.send(ROOM_STATES, b"late", encode(story.state("late")))
        sink.flush()
        assert _soon(lambda: len(tables.rooms) == 21)
        assert _soon(lambda: reader.lag() and not any(reader.lag().values()))
    finally:
        stop.set()
        thread.join()


def _soon(condition: object) -> bool:
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.02) for _ in range(500))  # type: ignore[operator]
