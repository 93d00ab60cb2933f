"""Tests that an erased viewer is out of the archive at its next upkeep, and that all else stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
import pytest

from streaming.archive.erasures import erased_viewers
from streaming.archive.upkeep import Eraser, Step
from streaming.clock import ManualClock
from streaming.events import ChatMessage, Impression, RoomId, Speech, ViewerErased, ViewerEvent, ViewerId
from streaming.log.codec import encode
from streaming.log.topics import CHAT, HOUR_MS, IMPRESSIONS, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from tests.unit.streaming.archive.world import START_MS, World, archived

HELD = (VIEWER_EVENTS, CHAT, IMPRESSIONS, VIEWER_PROFILES)


def did(world: World, viewer: str, at_ms: int | None = None) -> None:
    """An event, a message, an impression and a profile of a viewer, appended now."""
    now_ms, sink = world.clock.now_ms(), world.log.sink()
    at_ms = now_ms if at_ms is None else at_ms
    event = ViewerEvent(viewer=viewer, room="r", streamer="s", action="enter", at_ms=at_ms)
    sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))
    sink.send(CHAT, b"r", encode(ChatMessage(room="r", viewer=viewer, text=f"erased {viewer}", at_ms=at_ms)))
    impression = Impression(
        request_id="q", viewer=ViewerId(viewer), rooms=(RoomId("r"),), scores=(1.0,), propensities=(1.0,),
        model_version="v0", at_ms=at_ms,
    )  # fmt: skip
    sink.send(IMPRESSIONS, viewer.encode(), encode(impression))
    empty = ProfileAggregate(ViewerId(viewer), ProfileConfig()).profile()
    sink.send(VIEWER_PROFILES, viewer.encode(), encode(msgspec.structs.replace(empty, appended_ms=at_ms)))


def erase(world: World, viewer: str, key: bytes | None = None) -> None:
    record = ViewerErased(viewer=viewer, at_ms=world.clock.now_ms())
    world.log.sink().send(VIEWER_EVENTS, key or viewer.encode(), encode(record))


def upkeep(world: World) -> list[Step]:
    return list(Eraser().steps(world.archive(), world.clock.now_ms(), world.metrics))


def rows_of(world: World, viewer: str) -> list[tuple[object, ...]]:
    """Every archived record of a viewer, but erasures."""
    rows = [row for topic in HELD for row in archived(world.archive(), topic)]
    name = viewer.encode()
    return [
        row for row in rows if name in (row[3] or b"") + (row[4] or b"") and b'"type":"erased"' not in (row[4] or b"")
    ]


def filled(world: World, viewers: Sequence[str] = ("anna", "boris")) -> None:
    for _ in range(3):
        for viewer in viewers:
            did(world, viewer)
        world.clock.advance(1_000)
    world.run()


def test_an_erased_viewer_is_out_of_the_archive_and_everything_else_is_as_it_was(world: World) -> None:
    filled(world)
    before = rows_of(world, "boris")
    erase(world, "anna")
    world.run()
    assert upkeep(world) == [], "its hour is not over"
    world.clock.advance(2 * HOUR_MS)
    files, positions = world.archive().files(), world.archive().positions()
    steps = upkeep(world)
    assert {step.file.partition.topic for step in steps} == set(HELD)
    assert {step.action for step in steps} == {"erased"}
    assert sum(step.num_records for step in steps) == 12
    assert rows_of(world, "anna") == []
    assert rows_of(world, "boris") == before
    assert world.archive().positions() == positions
    assert [file.path for file in world.archive().files()] == [file.path for file in files]
    assert world.archive().skipped == {}
    assert [row[1:3] for row in archived(world.archive(), VIEWER_EVENTS)] == [
        row[1:3] for row in world.on_the_log(VIEWER_EVENTS)
    ]
    assert upkeep(world) == [], "there is nothing left to do"
    assert len(erased_viewers(world.archive())) == 1, "later readers know it as well"


def test_what_comes_late_goes_and_what_the_viewer_does_later_stays(world: World) -> None:
    filled(world)
    erase(world, "anna")
    erased_ms = world.clock.now_ms()
    world.clock.advance(60_000)
    did(world, "anna", erased_ms - 10_000)
    did(world, "anna")
    world.run()
    world.clock.advance(2 * HOUR_MS)
    upkeep(world)
    assert len(rows_of(world, "anna")) == 4
    assert {row[2] for row in rows_of(world, "anna")} == {erased_ms + 60_000}


def test_merging_and_erasing_go_together(world: World) -> None:
    filled(world)
    erase(world, "anna")
    world.clock.advance(1_000)
    filled(world)
    world.clock.advance(2 * HOUR_MS)
    upkeep(world)
    assert "merged" in world.upkeep()
    assert len(rows_of(world, "anna")) == 12
    erase(world, "anna")
    world.run()
    world.clock.advance(2 * HOUR_MS)
    upkeep(world)
    assert rows_of(world, "anna") == []
    assert len(rows_of(world, "boris")) == 24


def test_what_producers_write_otherwise_is_theirs_too(folder: World) -> None:
    sink, now_ms = folder.log.sink(), folder.clock.now_ms()
    for viewer in (b"7", b"7.0", b'"7"'):
        sink.send(CHAT, b"r", b'{"type":"chat","room":"r","viewer":%s,"text":"x","at_ms":%d}' % (viewer, now_ms))
    sink.send(VIEWER_EVENTS, b"7", b"rubbish with their key")
    sink.send(CHAT, b"r", b"rubbish of nobody")
    folder.clock.advance(10_000)
    erase(folder, "7")
    folder.clock.advance(60_000)
    seconds = folder.clock.now_ms() // 1_000
    sink.send(CHAT, b"r", b'{"type":"chat","room":"r","viewer":"7","text":"later","at_ms":%d}' % seconds)
    folder.run()
    folder.clock.advance(2 * HOUR_MS)
    upkeep(folder)
    assert [row[4] for row in archived(folder.archive()) if row[4]] == [
        b"rubbish of nobody",
        b'{"type":"chat","room":"r","viewer":"7","text":"later","at_ms":%d}' % seconds,
    ]
    assert [row[4] is None for row in archived(folder.archive(), VIEWER_EVENTS)] == [True, False]


def test_what_a_streamer_said_is_no_viewers_and_stays(folder: World) -> None:
    filled(folder)
    speech = encode(Speech(room="r", text="thank you, anna", at_ms=folder.clock.now_ms()))
    folder.log.sink().send(CHAT, b"r", speech)
    erase(folder, "anna")
    folder.run()
    folder.clock.advance(2 * HOUR_MS)
    upkeep(folder)
    kept = [row[4] for row in archived(folder.archive()) if row[4]]
    assert speech in kept
    assert len(kept) == 1 + 3, "and what boris wrote"


def test_an_erasure_that_workers_refuse_erases_nobody(folder: World) -> None:
    filled(folder)
    erase(folder, "anna", key=b"boris")
    folder.run()
    folder.clock.advance(2 * HOUR_MS)
    assert len(erased_viewers(folder.archive())) == 0
    assert upkeep(folder) == []


def test_a_damaged_file_stays_and_the_others_are_emptied(folder: World) -> None:
    filled(folder)
    erase(folder, "anna")
    folder.run()
    folder.clock.advance(2 * HOUR_MS)
    damaged = folder.archive().files(CHAT)[0]
    folder.store.delete(damaged.path)
    import pyarrow as pa  # noqa: PLC0415

    folder.store.put(damaged.path, pa.py_buffer(b"PAR1 no longer"))
    assert {step.file.partition.topic for step in upkeep(folder)} == {VIEWER_EVENTS, IMPRESSIONS, VIEWER_PROFILES}


def test_a_kill_before_the_new_file_is_there_leaves_the_old_one(folder: World, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(folder)
    erase(folder, "anna")
    folder.run()
    folder.clock.advance(2 * HOUR_MS)
    put, calls = type(folder.store).put, []

    def cut_off(self: object, path: str, data: object, *, replace: bool = False) -> bool:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return bool(put(self, path, data, replace=replace))  # type: ignore[arg-type]

    monkeypatch.setattr(type(folder.store), "put", cut_off)
    with pytest.raises(KeyboardInterrupt):
        upkeep(folder)
    monkeypatch.undo()
    assert folder.archive().skipped == {}
    upkeep(folder)
    assert rows_of(folder, "anna") == []
    assert len(rows_of(folder, "boris")) == 12


def test_the_loop_empties_by_itself_and_reads_no_file_twice_for_nothing(folder: World) -> None:
    filled(folder)
    erase(folder, "anna")
    folder.run()
    folder.clock.advance(2 * HOUR_MS)
    eraser, now_ms = Eraser(), folder.clock.now_ms()
    assert list(eraser.steps(folder.archive(), now_ms, folder.metrics))
    assert set(eraser._seen) == {f.path for f in folder.archive().files() if f.partition.topic in HELD}
    stop, polls = threading.Event(), iter(range(40))

    class Stopping(ManualClock):
        def now_ms(self) -> int:
            if next(polls, None) is None:
                stop.set()
            return folder.clock.now_ms()

    did(folder, "boris")
    erase(folder, "boris")
    archiver = folder.archiver()
    folder.run()
    folder.clock.advance(2 * HOUR_MS)
    archiver._clock = Stopping(START_MS)
    archiver.run(stop)
    assert rows_of(folder, "boris") == []
