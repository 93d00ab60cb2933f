"""Reads an export into an installation: what is newer here stays, and no erased viewer comes back.

A record is written where this installation has none of its key, or one that is older. So a second import writes
nothing, and one that was interrupted goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from deploy.transfer.erased import ErasedHere, erased_here
from deploy.transfer.kept import KEPT, MODELS, Kept, What
from deploy.transfer.manifest import (
    Encoding,
    ExportedVersion,
    ExportError,
    Manifest,
    Part,
    read_manifest,
    require_same_encoder,
    topics_of,
)
from deploy.transfer.newest import newest_of
from deploy.transfer.parts import Entry, check_part, read_part
from deploy.transfer.progress import Progress, Stopped
from streaming.archive.reader import Archive
from streaming.archive.store import Store
from streaming.clock import Clock
from streaming.errors import RecordError
from streaming.log.log import Log, Record, Sink
from streaming.log.topics import TOPICS, VIEWER_EVENTS, VIEWER_PROFILES
from training.content.encoder_by_version import folder_name
from training.registry import bundle as files
from training.registry import encoders
from training.registry.registry import OpenGate, Registry

NOTHING = -1  # older than any record
OF_VECTORS: tuple[What, ...] = ("rooms", MODELS)


@dataclass(slots=True)
class Loaded:
    """What became of the records of one kind."""

    read: int = 0
    written: int = 0
    kept: int = 0  # this installation has them, or newer ones
    erased: int = 0  # of viewers who were erased here
    unreadable: int = 0
    notes: list[str] = field(default_factory=list)


class Importer:
    """Reads one export into the log and the registry. For one thread."""

    def __init__(self, log: Log, store: Store, clock: Clock, progress: Progress, stop: threading.Event) -> None:
        """stop: ends the work between two batches. What was written stays; the same import goes on from there."""
        self._log = log
        self._store = store
        self._clock = clock
        self._progress = progress
        self._stop = stop

    def run(
        self,
        what: Collection[What],
        encoding: Encoding,
        registry: Registry | None,
        archive: Archive | None,
        into: dict[What, Loaded] | None = None,
    ) -> tuple[Manifest, Mapping[What, Loaded]]:
        """Checks everything, then writes what is asked for and there. registry: None where no models are asked for.

        archive: of this installation, which remembers erasures for longer than the log. into: is filled meanwhile.
        Raises ExportError, LogError, ArchiveError, VersionError, Stopped.
        """
        manifest = read_manifest(self._store)
        if any(one in OF_VECTORS for one in what):
            require_same_encoder(manifest, encoding)
        asked = [kept for kept in KEPT if kept.what in what and kept.topic in manifest.topics]
        parts = topics_of(manifest.parts)
        self._check([part for kept in asked for part in parts.get(kept.topic, ())])
        for kept in asked:
            self._require_idle(kept)
        erased = self._erased(manifest, archive) if any(kept.names_viewer for kept in asked) else ErasedHere()
        done: dict[What, Loaded] = {} if into is None else into
        for kept in asked:
            done[kept.what] = Loaded()
            self._topic(kept, parts.get(kept.topic, []), erased, done[kept.what])
            self._require_idle(kept)
        if registry is not None and MODELS in what:
            done[MODELS] = Loaded()
            self._models(manifest.models, registry, done[MODELS])
        return manifest, done

    def _check(self, parts: list[Part]) -> None:
        self._progress.stage("checking", "records", sum(part.records for part in parts))
        for part in parts:
            self._check_stop()
            check_part(self._store, part)
            self._progress.advance(part.records)

    def _require_idle(self, kept: Kept) -> None:
        """Raises ExportError where a worker runs: it holds the topic in memory, and would write over what comes."""
        for rank in range(len(self._log.partitions(kept.topic))):
            member = self._log.member(kept.group, f"{kept.member}-{rank}") if kept.group else None
            if member is not None:
                raise ExportError(
                    f"{kept.member}-{rank} runs on {member.host} and holds {kept.what} in memory: it would write over "
                    "what is imported. Stop the system first (`tidecast down`; a process that was killed is given up "
                    "after kafka.session_timeout_s), or import --only models"
                )

    def _erased(self, manifest: Manifest, archive: Archive | None) -> ErasedHere:
        """Who was erased here. Raises ExportError where that may be forgotten by now."""
        self._progress.stage("erasures", "records")
        age_ms = self._clock.now_ms() - manifest.created_at_ms
        remembered_ms = TOPICS[VIEWER_EVENTS].retention_ms or 0
        if age_ms > remembered_ms and archive is None and self._has_profiles():
            raise ExportError(
                f"the export is {age_ms // 86_400_000} days old. Viewers who were erased here since then may no longer "
                f"be on the log, which keeps {remembered_ms // 86_400_000} days of {VIEWER_EVENTS}: their profiles "
                "would come back. Set archive.uri to this installation's archive, or make a new export"
            )
        return erased_here(self._log, archive, self._advance)

    def _has_profiles(self) -> bool:
        return any(self._log.ends(self._log.partitions(VIEWER_PROFILES)).values())

    def _topic(self, kept: Kept, parts: list[Part], erased: ErasedHere, done: Loaded) -> None:
        self._progress.stage(f"{kept.what}, what is here", "records")

        def at_ms(record: Record) -> int:
            if record.value is None:
                return record.timestamp
            try:
                return kept.at_ms(record.value)
            except RecordError:
                return record.timestamp  # of a build that this one cannot read: its record stays

        here = newest_of(self._log, self._log.partitions(kept.topic), at_ms, self._advance)
        self._progress.stage(kept.what, "records", sum(part.records for part in parts))
        sink: Sink = self._log.sink()
        try:
            for part in parts:
                for entries in read_part(self._store, part):
                    self._check_stop()
                    known_ms = here.of([entry.key for entry in entries], NOTHING)
                    for entry, there_ms in zip(entries, known_ms, strict=True):
                        value = _wanted(kept, entry, there_ms, erased, done)
                        if value is not None:
                            sink.send(kept.topic, entry.key, value)
                    sink.flush()
                    self._progress.advance(len(entries))
        finally:
            sink.close()

    def _models(self, versions: tuple[ExportedVersion, ...], registry: Registry, done: Loaded) -> None:
        """Publishes versions that are not here, and puts live the one that was, where ours went live before it."""
        self._progress.stage(MODELS, "versions", len(versions))
        live = registry.latest()
        for exported in sorted(versions, key=lambda one: one.at_ms):
            self._check_stop()
            done.read += 1
            bundle = files.read(self._store, exported.path)
            if bundle.manifest.sha256 != exported.sha256:
                raise ExportError(f"version {exported.version} is not the one that the manifest lists")
            known = {one.record.version for one in registry.versions()}
            if exported.version in known:
                done.kept += 1
                done.notes.append(f"version {exported.version} is here already")
            else:
                with encoders.copied(self._store, folder_name(bundle.manifest.encoder_version)) as encoder:
                    registry.publish(bundle, encoder)
                done.written += 1
            is_newer = live is None or live.at_ms < exported.at_ms
            if exported.state == "live" and is_newer and not registry.is_settled(exported.version):
                registry.promote(exported.version, OpenGate())
                done.notes.append(f"version {exported.version} is live")
            self._progress.advance(1)

    def _advance(self, records: int) -> None:
        self._progress.advance(records)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _wanted(kept: Kept, entry: Entry, there_ms: int, erased: ErasedHere, done: Loaded) -> bytes | None:
    """The value to write, None where nothing is. there_ms: how new this installation's record of the key is."""
    key, value = entry
    done.read += 1
    try:
        if kept.at_ms(value) <= there_ms:
            done.kept += 1
            return None
        if kept.names_viewer and erased.forbids(key, value):
            done.erased += 1
            return None
        moved = kept.moved(value)
    except RecordError:
        done.unreadable += 1
        return None
    done.written += 1
    return moved
