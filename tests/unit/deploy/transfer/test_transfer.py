"""Exports and imports between two installations in memory: what comes over, what stays, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.transfer import parts
from deploy.transfer.manifest import MANIFEST, Encoding, ExportError
from deploy.transfer.newest import NewestByKey
from deploy.transfer.progress import Stopped
from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.archive.reader import Archive
from streaming.errors import LogUnavailable
from streaming.log.codec import encode
from streaming.log.topics import DAY_MS, ROOM_STATES, RULES, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.operator_rule import OperatorRule
from tests.unit.deploy.transfer.transfer_world import NOW_MS, VECTOR, Installation
from tests.unit.training.inference.versions import bundle
from training.content.language_model import name_of
from training.registry.registry import OpenGate

DATA = ("rooms", "profiles")


@pytest.fixture
def old(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "old", 3)


@pytest.fixture
def new(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "new", 2)


def test_everything_comes_over_once_whatever_the_numbers_of_partitions(
    old: Installation, new: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_RECORDS", 7)
    for number in range(40):
        old.profile(f"v{number}", NOW_MS - 9)
        old.profile(f"v{number}", NOW_MS + number)
        old.room(f"r{number}", chat_vector=VECTOR, chat_offset=90 + number, inputs=(5, 5, 5), messages=number)
    old.send(VIEWER_PROFILES, "v7", None)
    rule = OperatorRule(name="quiet", action="hide", at_ms=NOW_MS, rooms=("r3",))
    old.send(RULES, "quiet", encode(rule))
    old.registry.publish(bundle("one"))
    old.registry.promote("one", OpenGate())
    old.registry.publish(bundle("two", seed=2))
    place = tmp_path / "export"
    manifest = old.export(place)
    assert (manifest.count(VIEWER_PROFILES), manifest.count(ROOM_STATES)) == (39, 40)
    assert len(manifest.parts) > 10
    assert [(one.version, one.state) for one in manifest.models] == [("two", "candidate"), ("one", "live")]

    done = new.load(place)
    assert {name: (one.read, one.written, one.kept) for name, one in done.items()} == {
        "rooms": (40, 40, 0), "profiles": (39, 39, 0), "rules": (1, 1, 0), "models": (2, 2, 0)
    }  # fmt: skip
    assert new.values(VIEWER_PROFILES) == old.values(VIEWER_PROFILES)
    rooms = new.values(ROOM_STATES)
    assert rooms.keys() == old.values(ROOM_STATES).keys()
    assert (rooms["r8"].chat_vector, rooms["r8"].messages) == (VECTOR, 8)
    assert (rooms["r8"].chat_offset, rooms["r8"].inputs) == (-1, ()), "offsets of another log say nothing here"
    live = new.registry.latest()
    assert live is not None
    assert live.version == "one"
    assert {one.record.version for one in new.registry.versions()} == {"one", "two", "v0"}

    ends = new.log.ends(new.log.partitions(VIEWER_PROFILES))
    again = new.load(place)
    assert {name: (one.written, one.kept) for name, one in again.items()} == {
        "rooms": (0, 40), "profiles": (0, 39), "rules": (0, 1), "models": (0, 2)
    }  # fmt: skip
    assert new.log.ends(new.log.partitions(VIEWER_PROFILES)) == ends


def test_what_is_newer_here_stays(old: Installation, new: Installation, tmp_path: Path) -> None:
    for viewer, there_ms, here_ms in (("older", 5, 9), ("same", 7, 7), ("newer", 9, 5)):
        old.profile(viewer, NOW_MS + there_ms, total_visits=100)
        new.profile(viewer, NOW_MS + here_ms)
        old.room(viewer, NOW_MS + there_ms, messages=100)
        new.room(viewer, NOW_MS + here_ms)
    old.export(tmp_path / "export", DATA)
    done = new.load(tmp_path / "export", DATA)
    assert (done["profiles"].written, done["profiles"].kept) == (1, 2)
    assert {name: one.total_visits for name, one in new.values(VIEWER_PROFILES).items()} == {
        "older": 1, "same": 1, "newer": 100
    }  # fmt: skip
    assert {name: one.messages for name, one in new.values(ROOM_STATES).items()} == {
        "older": 0, "same": 0, "newer": 100
    }  # fmt: skip


def test_a_rule_that_was_put_or_deleted_later_here_stays_so(
    old: Installation, new: Installation, tmp_path: Path
) -> None:
    def put(at: Installation, name: str, at_ms: int, room: str) -> None:
        at.send(RULES, name, encode(OperatorRule(name=name, action="hide", at_ms=at_ms, rooms=(room,))))

    for name, there_ms, here_ms in (("older", 5, 9), ("newer", 9, 5)):
        put(old, name, NOW_MS + there_ms, "there")
        put(new, name, NOW_MS + here_ms, "here")
    put(old, "deleted", NOW_MS - 5, "there")
    new.send(RULES, "deleted", None)
    old.export(tmp_path / "export", ("rules",))
    done = new.load(tmp_path / "export", ("rules",))
    assert (done["rules"].written, done["rules"].kept) == (1, 2)
    assert {name: rule.rooms for name, rule in new.values(RULES).items()} == {"older": ("here",), "newer": ("there",)}


def test_an_erased_viewer_does_not_come_back(old: Installation, new: Installation, tmp_path: Path) -> None:
    for viewer in ("marked", "gone", "event", "since", "anew", "free"):
        old.profile(viewer, NOW_MS + 50, first_at_ms=NOW_MS - 5)
    old.profile("anew", NOW_MS + 50, first_at_ms=NOW_MS + 20)  # all of it is after the erasure
    old.profile("since", NOW_MS + 50, first_at_ms=NOW_MS - 5)  # goes on after it, but knows what was before
    new.profile("marked", NOW_MS, erased_ms=NOW_MS + 10, total_events=0, total_visits=0)
    new.send(VIEWER_PROFILES, "gone", None)
    for viewer in ("event", "since", "anew"):
        new.erased(viewer, NOW_MS)
    old.export(tmp_path / "export", DATA)
    done = new.load(tmp_path / "export", DATA)
    assert done["profiles"].erased == 4
    assert new.values(VIEWER_PROFILES).keys() - {"marked"} == {"anew", "free"}
    assert new.values(VIEWER_PROFILES)["marked"].erased_ms == NOW_MS + 10
    assert new.load(tmp_path / "export", DATA)["profiles"].written == 0


def test_an_erasure_comes_over_too(old: Installation, new: Installation, tmp_path: Path) -> None:
    new.profile("v", NOW_MS)
    old.profile("v", NOW_MS + 5, erased_ms=NOW_MS + 5, total_events=0)
    old.export(tmp_path / "export", DATA)
    new.load(tmp_path / "export", DATA)
    assert new.values(VIEWER_PROFILES)["v"].erased_ms == NOW_MS + 5


def test_an_export_that_is_older_than_the_memory_of_erasures_needs_the_archive(
    old: Installation, new: Installation, tmp_path: Path
) -> None:
    old.profile("erased", NOW_MS)
    old.profile("other", NOW_MS)
    old.export(tmp_path / "export", DATA)
    new.profile("somebody", NOW_MS)
    new.erased("erased", NOW_MS + 1)
    config = ArchiveConfig(uri=str(tmp_path / "archive"))
    Archiver(new.log, config, MemoryMetrics(), new.clock).run_once(new.stop, until_end=True)
    later = Installation(tmp_path / "later", 2)  # the same installation, once the log has forgotten
    later.profile("somebody", NOW_MS)
    later.clock.advance(8 * DAY_MS)
    with pytest.raises(ExportError, match=r"8 days old.*archive\.uri"):
        later.load(tmp_path / "export", DATA)
    assert later.values(VIEWER_PROFILES).keys() == {"somebody"}
    done = later.load(tmp_path / "export", DATA, archive=Archive(config.uri))
    assert (done["profiles"].written, done["profiles"].erased) == (1, 1)
    empty = Installation(tmp_path / "empty", 2)
    empty.clock.advance(8 * DAY_MS)
    assert empty.load(tmp_path / "export", DATA)["profiles"].written == 2, "nobody was ever erased there"


def test_another_encoder_is_refused_before_anything_is_written(
    old: Installation, new: Installation, tmp_path: Path
) -> None:
    old.room("r")
    old.profile("v")
    old.export(tmp_path / "export")
    for encoding in (Encoding(version="test", dimension=7), Encoding(version="other", dimension=6)):
        with pytest.raises(ExportError, match=r"6|test.*encoder\.model"):
            new.load(tmp_path / "export", encoding=encoding)
    assert new.values(ROOM_STATES) == {}
    assert new.load(tmp_path / "export", ("profiles",), Encoding(version="other", dimension=7))["profiles"].written == 1


def test_damage_and_other_formats_are_refused_before_anything_is_written(
    old: Installation, new: Installation, tmp_path: Path
) -> None:
    place = tmp_path / "export"
    with pytest.raises(ExportError, match="no export"):
        new.load(place)
    old.room("r")
    old.profile("v")
    manifest = old.export(place)
    text = (place / MANIFEST).read_text()

    def refused(changed: str, match: str) -> None:
        (place / MANIFEST).write_text(changed)
        with pytest.raises(ExportError, match=match):
            new.load(place)
        (place / MANIFEST).write_text(text)

    refused(text.replace('"format_version": 1', '"format_version": 2'), "version 2; this build reads version 1")
    refused(text.replace("tidecast-export", "another"), "not the manifest of an export")
    refused(text.replace('"records": 1', '"records": 2'), "checksum")
    refused(text[:-30], "damaged")
    part = place / manifest.parts[-1].path
    whole = part.read_bytes()
    part.write_bytes(whole[:-9] + b"x" * 9)
    with pytest.raises(ExportError, match="is damaged"):
        new.load(place)
    part.unlink()
    with pytest.raises(ExportError, match="is not there"):
        new.load(place)
    part.write_bytes(whole)
    assert new.values(ROOM_STATES) == {}
    assert new.load(place)["rooms"].written == 1


def test_an_export_that_was_stopped_is_none_and_is_begun_anew(
    old: Installation, new: Installation, tmp_path: Path
) -> None:
    old.profile("v")
    old.stop.set()
    with pytest.raises(Stopped):
        old.export(tmp_path / "export")
    with pytest.raises(ExportError, match="not finished"):
        new.load(tmp_path / "export")
    old.stop.clear()
    old.export(tmp_path / "export")
    with pytest.raises(ExportError, match="has an export already"):
        old.export(tmp_path / "export")
    assert json.loads((tmp_path / "export" / MANIFEST).read_text())["parts"][0]["records"] == 1


def test_an_import_that_was_stopped_goes_on(
    old: Installation, new: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "BATCH_RECORDS", 10)
    for number in range(50):
        old.profile(f"v{number}")
    old.export(tmp_path / "export", DATA)
    advance = new.told.advance

    def stop_soon(by: float) -> None:
        advance(by)
        if new.told.stages[-1] == "profiles" and by == 10:
            new.stop.set()

    monkeypatch.setattr(new.told, "advance", stop_soon)
    with pytest.raises(Stopped):
        new.load(tmp_path / "export", DATA)
    written = len(new.values(VIEWER_PROFILES))
    assert 0 < written < 50
    new.stop.clear()
    monkeypatch.setattr(new.told, "advance", advance)
    done = new.load(tmp_path / "export", DATA)
    assert (done["profiles"].written, done["profiles"].kept) == (50 - written, written)


def test_a_running_worker_is_not_written_behind(old: Installation, new: Installation, tmp_path: Path) -> None:
    old.profile("v")
    old.registry.publish(bundle("one"))
    old.export(tmp_path / "export")
    worker = new.log.group([VIEWER_EVENTS], "profile-workers", "profile-worker-0")
    worker.poll(0.0)
    with pytest.raises(ExportError, match=r"profile-worker-0 runs.*tidecast down"):
        new.load(tmp_path / "export")
    assert new.values(VIEWER_PROFILES) == {}
    assert new.load(tmp_path / "export", ("models",))["models"].written == 1


def test_the_encoder_of_a_folder_comes_with_its_versions(old: Installation, new: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    name = name_of(str(folder))
    old.registry.publish(bundle("theirs", encoder_version=f"{name}/fp32/64"), folder)
    old.registry.publish(bundle("plain"))
    old.export(tmp_path / "export")
    new.load(tmp_path / "export", ("models",))
    listed, manifest = new.registry.show("theirs")
    kept = new.registry.encoder_files(listed.record, manifest)
    assert kept is not None
    assert kept.encoder == name


def test_a_later_live_version_of_this_installation_stays_live(
    old: Installation, new: Installation, tmp_path: Path
) -> None:
    old.registry.publish(bundle("theirs"))
    old.registry.promote("theirs", OpenGate())
    old.export(tmp_path / "export")
    new.clock.advance(1_000)
    new.registry.publish(bundle("ours", seed=3))
    new.registry.promote("ours", OpenGate())
    new.load(tmp_path / "export", ("models",))
    live = new.registry.latest()
    assert live is not None
    assert live.version == "ours"
    assert new.registry.show("theirs")[0].state == "candidate"


def test_a_key_that_keeps_moving_ends_the_export_instead_of_losing_it(
    old: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old.profile("v")
    monkeypatch.setattr("deploy.transfer.export.records_to", lambda *_: iter(()))  # as if it were compacted away
    with pytest.raises(LogUnavailable, match="compacted faster"):
        old.export(tmp_path / "export", DATA)


def test_numbers_of_keys_are_those_of_the_newest_record() -> None:
    newest = NewestByKey()
    assert newest.of([b"a"], -1) == [-1]
    for number, key in enumerate([b"a", b"b", b"a", b"c", b"b", b"a"]):
        newest.add(key, number)
    assert newest.of([b"c", b"a", b"d", b"b"], -1) == [3, 5, -1, 4]
    assert len(newest) == 3
    newest.add(b"d", 9)
    assert newest.of([b"d", b"a"], -1) == [9, 5]
