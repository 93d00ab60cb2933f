"""Tests of a ProfileWorker whose profiles do not fit into memory: the same results, whatever happens to its files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from actors.profiles import profile_map
from actors.settings import ProfileWorkerConfig
from streaming.errors import LogUnavailable
from streaming.events import Action, ViewerErased, ViewerId
from streaming.log.codec import encode
from streaming.log.log import LiveMember, Partition
from streaming.log.topics import VIEWER_EVENTS, VIEWER_PROFILES
from streaming.troubles import Skipped
from streaming.viewer.profile import ERASURE_KEPT_MS
from tests.reference import published_profiles
from tests.unit.actors.profiles.test_worker import Stage
from tests.unit.actors.worker.test_growth import grow_viewers, holders

ACTIONS: tuple[Action, ...] = get_args(Action)
OTHER = LiveMember("other", "10.0.0.7", (Partition(VIEWER_EVENTS, 0), Partition(VIEWER_EVENTS, 1)))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A worker in whose memory some ten profiles of each partition have room, and three aggregates."""
    monkeypatch.setattr(profile_map, "ENTRY_BYTES", 50_000)
    made = Stage(ProfileWorkerConfig(aggregates_per_partition=3, memory_mb=1, mark_every_s=1), tmp_path / "profiles")
    yield made
    made.worker._close(keep=False)


def crash(stage: Stage) -> None:
    """Another process in the place of one that was killed: its locks are gone, its files are not."""
    for owned in stage.worker._owned.values():
        opened = owned.profiles._opened
        if opened is not None:
            opened.close(keep=True)
        owned.profiles._opened = None
    stage.start()


def fill(stage: Stage, viewers: int = 60) -> None:
    for number in range(viewers):
        stage.send(f"v{number}", "enter", f"r{number % 4}")
        stage.turn()
    for _ in range(4):  # what is committed is tidied up with the next turns
        stage.turn(1_000)


def published(stage: Stage) -> dict[str, bytes]:
    lines = [line for index in range(2) for line in stage.log.read(Partition(VIEWER_PROFILES, index), 0, 100_000)]
    return {line.key.decode(): line.value for line in lines if line.key is not None and line.value is not None}


def test_viewers_past_the_memory_are_known_all_the_same(stage: Stage) -> None:
    fill(stage)
    assert stage.metrics.value("profiles_hot") <= 20
    assert stage.metrics.value("profiles_held", reader="profile-workers") == 60
    assert stage.metrics.value("profile_store_bytes") > 0
    assert {v: stage.worker.profile(ViewerId(v)) for v in published(stage)} == published(stage)
    for number in range(60):
        stage.send(f"v{number}", "like", f"r{number % 4}")
    stage.turn()
    stage.assert_as_expected()
    assert all(one.total_events == 2 for one in published_profiles(stage.log).values())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_worker_with_files_that_is_cut_off_anywhere_does_everything_once(stage: Stage, seed: int) -> None:
    rng = random.Random(seed)
    for step in range(250):
        for _ in range(rng.randrange(4)):
            stage.send(f"v{rng.randrange(60)}", rng.choice(ACTIONS), f"r{rng.randrange(4)}", rng.random())
        if step % 13 == 5:
            stage.turn(commit=False)
            crash(stage)
        elif step % 13 == 9:
            crash(stage)
        stage.turn(500)
    stage.turn()
    stage.assert_as_expected()
    assert stage.metrics.value("profile_stores_opened_total", how="reused") > 10


def test_a_restart_reads_only_what_came_since_the_mark(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(stage)
    for _ in range(5):
        for viewer in ("v1", "v2", "v3", "v4"):
            stage.send(viewer, "like", "r1")
        stage.turn(2_000)
    read_from: dict[int, int] = {}
    reader_of = stage.log.reader

    def reader(partitions, start="beginning"):  # type: ignore[no-untyped-def]
        read_from.update({partition.index: start[partition] if start != "beginning" else 0 for partition in partitions})
        return reader_of(partitions, start)

    monkeypatch.setattr(stage.log, "reader", reader)
    crash(stage)
    stage.turn()
    ends = {index: stage.log.end(Partition(VIEWER_PROFILES, index)) for index in (0, 1)}
    assert read_from.keys() == {0, 1}
    assert all(ends[index] - 9 < read_from[index] < ends[index] for index in (0, 1)), (read_from, ends)
    stage.send("v1", "chat", "r1")
    stage.turn()
    assert published_profiles(stage.log)["v1"].total_events == 7
    stage.assert_as_expected()


def test_a_damaged_file_is_thrown_away_and_rebuilt_from_the_log(stage: Stage) -> None:
    fill(stage)
    for path in stage.folder.glob("*.sqlite*") if stage.folder is not None else ():
        if not path.name.endswith(("-shm", ".lock")):
            path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(LogUnavailable, match="begins where the log has it"):
        for number in range(60):
            stage.send(f"v{number}", "like", f"r{number % 4}")
            stage.turn(commit=False)
    assert stage.metrics.value("profile_stores_damaged_total") == 1
    crash(stage)  # the session after it, in which the other file is found damaged as it is opened
    stage.turn()
    assert stage.metrics.value("profile_stores_damaged_total") == 2
    for number in range(60):
        stage.send(f"v{number}", "like", f"r{number % 4}")
    stage.turn()
    stage.assert_as_expected()
    assert len(published_profiles(stage.log)) == 60


def test_a_viewer_on_disk_who_is_erased_is_gone_from_the_files_with_the_next_turn(stage: Stage) -> None:
    fill(stage)
    stage.send("v3", "enter", "a room of their own")
    stage.turn()
    for number in range(30, 60):
        stage.send(f"v{number}", "like", f"r{number % 4}")
        stage.turn()
    stage.turn(1_000)
    assert stage.folder is not None
    assert b"a room of their own" in b"".join(path.read_bytes() for path in stage.folder.iterdir())
    stage.producer.send(VIEWER_EVENTS, b"v3", encode(ViewerErased(viewer="v3", at_ms=stage.clock.now_ms())))
    stage.turn()
    stage.turn(1_000)
    assert b"a room of their own" not in b"".join(path.read_bytes() for path in stage.folder.iterdir())
    assert stage.worker.profile(ViewerId("v3")) is None
    crash(stage)
    stage.turn()
    assert stage.worker.profile(ViewerId("v3")) is None
    stage.assert_as_expected()


def test_silent_viewers_on_disk_leave_their_rooms_and_end_after_the_retention(stage: Stage) -> None:
    fill(stage)
    crash(stage)
    for _ in range(4):
        stage.turn(3_600_000)
    assert all(one.room is None for one in published_profiles(stage.log).values())
    stage.turn(89 * 86_400_000)
    assert len(published_profiles(stage.log)) == 60
    for _ in range(4):
        stage.turn(86_400_000)
    assert published_profiles(stage.log) == {}
    assert stage.metrics.value("profiles_expired_total") == 60
    stage.turn(1_000)
    assert stage.metrics.value("profiles_held", reader="profile-workers") == 0


def test_the_mark_of_an_erasure_on_disk_ends_too(stage: Stage) -> None:
    fill(stage)
    stage.producer.send(VIEWER_EVENTS, b"v3", encode(ViewerErased(viewer="v3", at_ms=stage.clock.now_ms())))
    stage.turn()
    stage.turn(ERASURE_KEPT_MS - 10_000)
    assert holders(stage, "v3")
    for _ in range(3):
        stage.turn(2 * 3_600_000)
    assert not holders(stage, "v3")
    assert holders(stage, "v4")


def test_a_worker_that_takes_over_has_files_of_its_own(stage: Stage) -> None:
    fill(stage)
    older, files = stage.worker, set(stage.folder.glob("*.sqlite")) if stage.folder is not None else set()
    stage.start()
    assert stage.worker.is_ready(OTHER)
    assert stage.folder is not None
    assert len(set(stage.folder.glob("*.sqlite")) - files) == 2
    older.stand_by(OTHER)
    assert not files & set(stage.folder.glob("*.sqlite")), "the older one's are deleted, for others change now"
    stage.turn()
    stage.send("v7", "like", "r3")
    stage.turn()
    stage.assert_as_expected()
    assert len(list(stage.folder.glob("*.sqlite"))) == 2


def test_a_partition_that_goes_to_another_worker_leaves_no_file(stage: Stage) -> None:
    fill(stage)
    assert stage.folder is not None
    stage.worker.revoke([Partition(VIEWER_EVENTS, 1)])
    assert len(list(stage.folder.glob("*.sqlite"))) == 1
    assert {name.partition("-")[2][:1] for name in (path.name for path in stage.folder.glob("*.sqlite"))} == {"0"}


def test_topics_that_grow_take_viewers_on_disk_along(stage: Stage) -> None:
    fill(stage)
    grow_viewers(stage)
    for number in range(60):
        stage.send(f"v{number}", "like", f"r{number % 4}")
    stage.turn()
    assert all(one.total_events == 2 for one in published_profiles(stage.log).values())
    assert len(published_profiles(stage.log)) == 60


def test_where_the_log_no_longer_has_the_record_after_the_mark_all_of_it_is_read(stage: Stage) -> None:
    fill(stage)
    crash(stage)
    (before,) = {path.name for path in (stage.folder or Path()).glob("*-0-*.sqlite")}
    there = Partition(VIEWER_PROFILES, 0)
    stage.worker._maps.partitions = 2
    found = stage.worker._maps.make(there, 1)
    mark = found.next_offset
    found.values.close(keep=True)
    assert mark > 0
    stage.log.lose(Skipped(VIEWER_PROFILES, 0, mark, mark, "retention", "deleted"))
    stage.turn()
    assert before not in {path.name for path in (stage.folder or Path()).glob("*.sqlite")}
    kept = [line.key for first in (0, mark + 1) for line in stage.log.read(there, first, 10_000)]
    assert len(kept) > mark
    assert all(stage.worker.profile(ViewerId(key.decode())) for key in kept if key is not None)
