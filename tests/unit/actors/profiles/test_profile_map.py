"""Tests of profiles in memory and on disk: what is where, and what a process finds that comes after."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.profiles import profile_map
from actors.profiles.profile_map import ProfileMap
from actors.profiles.store_folder import MOST_DAMAGED, USABLE_MS, StoreFolder
from streaming.clock import ManualClock
from streaming.errors import StoreDamaged
from streaming.events import RoomId, StreamerId, ViewerId, ViewerProfile, Visit
from streaming.log.codec import encode
from streaming.metrics import MemoryMetrics
from streaming.viewer.profile import ERASURE_KEPT_MS

NOW_MS = 1_700_000_000_000
MADE = 77
ROOMY = 1 << 40


def profile(viewer: str, text: str = "r", *, present: bool = False, at_ms: int = NOW_MS, erased_ms: int = 0) -> bytes:
    """A profile with one visit to a room that is called `text`; of an erased viewer nothing but that."""
    visit = Visit(RoomId(text), StreamerId("s"), at_ms, at_ms, 0, 0, 0, 0)
    known = ViewerProfile(
        viewer=ViewerId(viewer),
        visits=() if erased_ms else (visit,),
        habits=(),
        room=RoomId(text) if present else None,
        total_visits=0 if erased_ms else 1,
        total_events=0 if erased_ms else 1,
        first_at_ms=0,
        last_at_ms=0 if erased_ms else at_ms,
        recent_events=(),
        appended_ms=at_ms,
        erased_ms=erased_ms,
    )
    return encode(known)


class Stage:
    """A map with a folder, and those that come after it."""

    def __init__(self, folder: Path, budget_bytes: int = 0) -> None:
        self.clock = ManualClock(NOW_MS)
        self.metrics = MemoryMetrics()
        self.folder = folder
        self.budget_bytes = budget_bytes
        self.maps: list[ProfileMap] = []
        self.map, self.offset = self.another()

    def another(self, made: int = MADE, partitions: int = 4) -> tuple[ProfileMap, int]:
        """A map of another process, and the offset from which it would read on."""
        self.stores = StoreFolder(self.folder, self.metrics, self.clock)
        found = ProfileMap(
            0,
            self.metrics,
            self.clock,
            folder=self.stores,
            made=made,
            partitions=partitions,
            budget_bytes=self.budget_bytes,
        )
        self.maps.append(found)
        return found, found.reuse()

    def put(self, *values: tuple[bytes, bytes | None]) -> None:
        """Publishes, commits and tidies up."""
        for key, value in values:
            if value is None:
                self.map.remove(key)
            else:
                self.map.put(key, value)
        self.tidy()

    def tidy(self) -> None:
        self.map.confirm()
        self.map.tidy(time.monotonic() + 60)

    def mark(self, offset: int) -> None:
        """Has the file say how far the log is in it."""
        self.map.begin_mark(offset)
        self.tidy()

    def restart(self) -> None:
        self.map.close(keep=True)
        self.map, self.offset = self.another()
        self.map.restored(self.offset)

    def bytes_on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.folder.iterdir()))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "profiles")
    yield made
    for one in made.maps:
        one.close(keep=False)


def test_nothing_is_on_disk_while_all_fit_into_the_budget(stage: Stage) -> None:
    stage.map.budget_bytes = ROOMY
    stage.put((b"a", profile("a")), (b"b", profile("b")))
    assert (len(stage.map), stage.map.hot, stage.map.store_bytes) == (2, 2, 0)
    assert not stage.folder.exists()


def test_profiles_past_the_budget_are_on_disk_and_come_back_as_they_were(stage: Stage) -> None:
    values = [(b"%d" % n, profile(str(n), f"room {n}")) for n in range(2_000)]
    stage.put(*values)
    assert (len(stage.map), stage.map.hot) == (2_000, 0)
    assert [(key, stage.map.peek(key)) for key, _ in values] == values
    assert stage.map.hot == 0
    assert stage.map.get(values[3][0]) == values[3][1]
    assert stage.map.hot == 1
    assert stage.map.get(b"nobody") is None


def test_those_used_least_lately_go_to_disk(stage: Stage) -> None:
    stage.map.budget_bytes = ROOMY
    stage.put(*((b"%04d" % n, profile(f"{n:04}")) for n in range(1_000)))
    stage.map.get(b"0000")
    stage.map.budget_bytes = stage.map.hot_bytes - 1
    stage.tidy()
    assert b"0000" in stage.map._hot
    assert b"0001" not in stage.map._hot
    assert b"0999" in stage.map._hot
    assert 800 < stage.map.hot < 1_000


def test_what_is_not_known_to_be_committed_is_not_on_disk(stage: Stage) -> None:
    stage.put((b"a", profile("a", "committed")))
    stage.map.put(b"a", profile("a", "uncommitted"))
    stage.map.tidy(time.monotonic() + 1)
    assert stage.map.get(b"a") == profile("a", "uncommitted")
    assert b"uncommitted" not in stage.bytes_on_disk()
    stage.map.close(keep=True)


def test_a_process_that_comes_after_reads_the_log_on_from_the_mark(stage: Stage) -> None:
    values = [(b"%d" % n, profile(str(n))) for n in range(1_200)]
    stage.put(*values)
    stage.put((b"7", None), (b"8", profile("8", "later")))
    stage.mark(1_202)
    stage.restart()
    assert stage.offset == 1_202
    assert len(stage.map) == 1_199
    assert stage.map.get(b"7") is None
    assert stage.map.get(b"8") == profile("8", "later")
    assert stage.map.get(b"9") == dict(values)[b"9"]
    assert stage.metrics.value("profile_stores_opened_total", how="reused") == 1


def test_a_mark_counts_only_once_a_commit_has_shown_that_the_partition_is_still_ours(stage: Stage) -> None:
    stage.put((b"a", profile("a")))
    stage.mark(1)
    stage.put((b"a", profile("a", "more")))
    stage.map.begin_mark(2)
    stage.map.tidy(time.monotonic() + 60)
    stage.restart()
    assert stage.offset == 1


def test_a_mark_waits_for_every_profile_that_was_in_memory_when_it_was_begun(stage: Stage) -> None:
    stage.put((b"a", profile("a")))
    stage.map.budget_bytes = ROOMY
    stage.put(*((b"%d" % n, profile(str(n))) for n in range(2_000)))
    stage.map.begin_mark(9)
    stage.map.put(b"1", profile("1", "in between"))
    stage.map.confirm()
    stage.map.tidy(time.monotonic() - 1)  # no time
    found, offset = stage.another()
    assert offset == 0, "the file is another process's, and there is no mark in it"
    found.close(keep=False)
    stage.map.tidy(time.monotonic() + 60)
    stage.map.put(b"1", profile("1", "never committed"))
    stage.restart()
    assert stage.offset == 9
    assert len(stage.map) == 2_001
    assert stage.map.get(b"1") == profile("1", "in between")


@pytest.mark.parametrize(
    ("made", "partitions", "later_ms"), [(78, 4, 0), (MADE, 5, 0), (MADE, 4, USABLE_MS), (0, 4, 0)]
)
def test_a_file_of_another_topic_or_division_or_time_is_not_used(
    stage: Stage, made: int, partitions: int, later_ms: int
) -> None:
    stage.put((b"a", profile("a")))
    stage.mark(5)
    stage.map.close(keep=True)
    stage.clock.advance(later_ms)
    found, offset = stage.another(made, partitions)
    assert (offset, found.get(b"a")) == (0, None)


def test_a_file_of_before_the_machine_went_down_is_not_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.put((b"a", profile("a")))
    stage.mark(5)
    boot = stage.folder.parent / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr("actors.profiles.store_folder.BOOT_ID", boot)
    stage.restart()
    assert (stage.offset, len(stage.map)) == (0, 0)
    assert not list(stage.folder.glob("*.sqlite"))


def test_two_processes_never_have_one_file(stage: Stage) -> None:
    stage.put((b"a", profile("a", "of the first")))
    stage.mark(5)
    other, offset = stage.another()
    assert offset == 0
    other.put(b"a", profile("a", "of the second"))
    other.confirm()
    other.tidy(time.monotonic() + 60)
    assert len(list(stage.folder.glob("*.sqlite"))) == 2
    assert stage.map.peek(b"a") == profile("a", "of the first")
    other.drop_others()
    assert len(list(stage.folder.glob("*.sqlite"))) == 2, "none is deleted that somebody has"
    stage.map.close(keep=True)
    other.drop_others()
    assert len(list(stage.folder.glob("*.sqlite"))) == 1
    assert other.peek(b"a") == profile("a", "of the second")


def test_of_two_files_the_newer_is_used_and_the_other_deleted(stage: Stage) -> None:
    stage.put((b"a", profile("a", "older")))
    stage.mark(5)
    other, _ = stage.another()
    other.put(b"a", profile("a", "newer"))
    other.confirm()
    other.tidy(time.monotonic() + 60)
    other.begin_mark(9)
    other.confirm()
    other.tidy(time.monotonic() + 60)
    other.close(keep=True)
    stage.restart()
    assert stage.offset == 9
    assert stage.map.get(b"a") == profile("a", "newer")
    assert len(list(stage.folder.glob("*.sqlite"))) == 1


def test_files_that_nobody_may_use_again_are_swept(stage: Stage) -> None:
    stage.put((b"a", profile("a")))
    stage.mark(5)
    stage.stores.sweep()
    assert stage.map.peek(b"a") is not None
    stage.map.close(keep=True)
    stage.stores.sweep()
    assert list(stage.folder.glob("*.sqlite"))
    stage.clock.advance(USABLE_MS)
    stage.stores.sweep()
    assert not list(stage.folder.iterdir())


@pytest.mark.parametrize("at", ["a page in the middle", "its end", "its beginning"])
def test_a_damaged_file_is_found_and_never_gives_another_profile(stage: Stage, at: str) -> None:
    values = {b"%d" % n: profile(str(n), f"room {n} " + "x" * 300) for n in range(1_000)}
    stage.put(*values.items())
    stage.mark(1_000)
    stage.map.close(keep=True)
    (path,) = stage.folder.glob("*.sqlite")
    size = path.stat().st_size
    if at == "its end":
        with path.open("r+b") as file:
            file.truncate(size // 2)
    else:
        with path.open("r+b") as file:
            file.seek(0 if at == "its beginning" else size // 8192 * 4096)
            file.write(random.Random(3).randbytes(4 * 4096))
    stage.map, offset = stage.another()
    try:
        if offset:
            stage.map.restored(offset)
        found = {key: stage.map.peek(key) for key in values} if offset else {}
    except StoreDamaged as err:
        stage.stores.count_damage(err)
        stage.map.close(keep=True)
    else:
        assert not offset, "an unusable file is not used"
        assert not found
    assert not list(stage.folder.glob("*.sqlite")), "it is thrown away"


def test_files_that_are_damaged_again_and_again_are_given_up(stage: Stage) -> None:
    for _ in range(MOST_DAMAGED):
        stage.stores.count_damage(StoreDamaged("x"))
    stage.put((b"a", profile("a")))
    assert (stage.map.hot, stage.map.store_bytes) == (1, 0)
    assert stage.metrics.value("profile_store_failures_total") == 1


def test_profiles_stay_in_memory_while_the_file_is_full_and_go_to_disk_later(stage: Stage) -> None:
    stage.stores.bytes_per_store = 300 * 4096
    values = {b"%d" % n: profile(str(n), "x" * 1_000) for n in range(2_000)}
    stage.put(*values.items())
    assert 0 < stage.map.hot < 2_000
    assert stage.metrics.value("profile_store_failures_total") == 1
    assert {key: stage.map.peek(key) for key in values} == values
    assert len(stage.map) == 2_000
    failures = stage.metrics.value("profile_store_failures_total")
    stage.tidy()
    assert stage.metrics.value("profile_store_failures_total") == failures, "not tried at every turn"
    assert stage.map._opened is not None
    stage.map._opened.store.limit(1 << 30)  # the disk has room again
    stage.clock.advance(profile_map.RETRY_MS)
    stage.tidy()
    assert stage.map.hot == 0
    assert {key: stage.map.peek(key) for key in values} == values


def test_a_folder_that_cannot_be_made_keeps_profiles_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    stage = Stage(tmp_path / "file" / "profiles")
    stage.put((b"a", profile("a")))
    assert stage.map.get(b"a") == profile("a")
    assert stage.metrics.value("profile_store_failures_total") == 1


def test_what_is_erased_is_in_no_file_after_its_commit(stage: Stage) -> None:
    stage.put(*((b"v%d" % n, profile(f"v{n}", f"secret of {n};" * 50)) for n in range(300)))
    assert b"secret of 7;" in stage.bytes_on_disk()
    mark = profile("v7", erased_ms=NOW_MS)
    stage.put((b"v7", mark), (b"v8", None))
    on_disk = stage.bytes_on_disk()
    assert b"secret of 7;" not in on_disk
    assert b"secret of 8;" not in on_disk
    assert b"secret of 9;" in on_disk
    assert stage.map.peek(b"v7") == mark
    assert stage.map.peek(b"v8") is None


def test_files_are_for_their_owner_alone(stage: Stage) -> None:
    stage.put((b"a", profile("a")))
    assert stage.folder.stat().st_mode & 0o077 == 0
    assert {path.stat().st_mode & 0o777 for path in stage.folder.iterdir()} == {0o600}


def test_viewers_who_are_in_a_room_are_found_in_memory_and_on_disk(stage: Stage) -> None:
    stage.put(*((b"%d" % n, profile(str(n), present=n % 10 == 0)) for n in range(500)))
    stage.mark(500)
    stage.restart()
    assert {key for key, _ in stage.map.present()} == {b"%d" % n for n in range(0, 500, 10)}


def test_a_round_finds_every_profile_whose_time_has_come_wherever_it_is(stage: Stage) -> None:
    old_ms = NOW_MS - 10 * ERASURE_KEPT_MS
    stage.put(*((b"%d" % n, profile(str(n), at_ms=old_ms if n % 7 == 0 else NOW_MS)) for n in range(700)))
    stage.map.budget_bytes = ROOMY
    stage.put(*((b"new %d" % n, profile(f"new {n}", at_ms=old_ms)) for n in range(5)))
    found: list[bytes] = []
    stage.map.begin_round()
    while not stage.map.is_round_over:
        found += stage.map.look(50, NOW_MS - ERASURE_KEPT_MS, 0)
    assert set(found) == {*(b"%d" % n for n in range(0, 700, 7)), *(b"new %d" % n for n in range(5))}


def test_a_map_with_a_file_is_as_one_in_memory_whatever_is_done_to_it(tmp_path: Path) -> None:
    rng, expected = random.Random(11), dict[bytes, bytes]()
    stage = Stage(tmp_path / "profiles", 3_000)
    committed: dict[bytes, bytes] = {}
    log: list[tuple[bytes, bytes | None]] = []
    for step in range(2_000):
        key = b"%d" % rng.randrange(60)
        action = rng.random()
        if action < 0.5:
            value = profile(key.decode(), f"{step}", present=rng.random() < 0.3)
            stage.map.put(key, value)
            expected[key] = value
            log.append((key, value))
        elif action < 0.6 and stage.map.get(key) is not None:
            stage.map.remove(key)
            del expected[key]
            log.append((key, None))
        elif action < 0.9:
            assert stage.map.get(key) == expected.get(key)
        elif action < 0.97:
            stage.map.confirm()
            committed = dict(expected)
            stage.map.tidy(time.monotonic() + 60)
            if stage.map.wants_mark(0) and rng.random() < 0.5:
                stage.map.begin_mark(len(log))
        else:  # the process is killed: what was not committed is void
            expected = dict(committed)
            log = [
                *log,
                *((key, expected.get(key)) for key in sorted({key for key, _ in log})),
            ]  # as the log has it, compacted
            stage.map.close(keep=rng.random() < 0.5)
            stage.map, offset = stage.another()
            for key, written in log[offset:]:
                stage.map.pop(key)
                if written is not None:
                    stage.map[key] = written
            stage.map.restored(len(log))
            assert len(stage.map) == len(expected)
        assert {key for key in map(b"%d".__mod__, range(60)) if stage.map.peek(key)} == expected.keys()
    stage.map.close(keep=False)
