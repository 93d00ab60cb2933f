"""Writes an export: the last value of each key of the topics, and the versions of the models. Never changes the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

from deploy.transfer.kept import KEPT, MODELS, Kept, What
from deploy.transfer.manifest import (
    Encoding,
    ExportedVersion,
    ExportError,
    Manifest,
    Part,
    has_manifest,
    write_manifest,
)
from deploy.transfer.newest import newest_of, records_to
from deploy.transfer.parts import Entry, PartWriter
from deploy.transfer.progress import Progress, Stopped
from streaming.archive.store import Store
from streaming.clock import Clock
from streaming.errors import LogUnavailable, RecordError
from streaming.log.log import Log, Partition
from training.registry import bundle as files
from training.registry.manifest import V0
from training.registry.registry import Registry

LOGGER = logging.getLogger(__name__)

ATTEMPTS = 5  # a key's newest record may be compacted away while it is read, because a newer one came


class Exporter:
    """Writes one export. What it read is the state at the moment when it came to each partition. For one thread."""

    def __init__(self, log: Log, store: Store, clock: Clock, progress: Progress, stop: threading.Event) -> None:
        """stop: ends the work between two batches of records; nothing is left that looks like an export."""
        self._log = log
        self._store = store
        self._clock = clock
        self._progress = progress
        self._stop = stop

    def run(self, what: Collection[What], encoding: Encoding, registry: Registry | None, prefix: str = "") -> Manifest:
        """Writes what is asked for. registry: of the models, None where they are not asked for.

        Raises ExportError: the place has an export already. Raises ArchiveError, LogError, VersionError, Stopped.
        """
        self._store.prepare()
        if has_manifest(self._store):
            raise ExportError(f"{self._store.masked_uri} has an export already; give another folder, or remove it")
        created_at_ms = self._clock.now_ms()
        asked = [kept for kept in KEPT if kept.what in what]
        parts = [part for kept in asked for part in self._topic(kept)]
        models = self._models(registry) if registry is not None and MODELS in what else []
        manifest = Manifest(
            created_at_ms=created_at_ms,
            prefix=prefix,
            encoding=encoding,
            topics=tuple(kept.topic for kept in asked),
            parts=tuple(parts),
            models=tuple(models),
        )
        return write_manifest(self._store, manifest)

    def _topic(self, kept: Kept) -> list[Part]:
        self._progress.stage(kept.what, "records")
        writer = PartWriter(self._store, kept.topic)
        for partition in self._log.partitions(kept.topic):
            self._partition(kept, partition, writer)
        return writer.parts

    def _partition(self, kept: Kept, partition: Partition, writer: PartWriter) -> None:
        """Adds the partition's last values. Reads it twice: first which offsets they are at, then the records."""
        writer.flush()  # so that a part is of one partition, and can be written anew
        before = len(writer.parts)
        for _ in range(ATTEMPTS):
            offsets = newest_of(
                self._log, [partition], lambda one: -1 if one.value is None else one.offset, self._advance
            )
            expected = offsets.count_of(lambda number: number >= 0)
            end = 1 + offsets.largest(-1)
            found = 0
            for records in records_to(self._log, partition, end):
                self._check_stop()
                keyed = [one for one in records if one.key is not None and one.value is not None]
                places = offsets.of([one.key or b"" for one in keyed], -1)
                for record, place in zip(keyed, places, strict=True):
                    if record.offset == place:
                        found += 1
                        self._add(kept, record.key or b"", record.value or b"", writer)
            if found == expected:
                writer.flush()
                return
            writer.forget(before)
        raise LogUnavailable(
            f"{partition.topic} partition {partition.index} is compacted faster than it is read; export again later"
        )

    def _add(self, kept: Kept, key: bytes, value: bytes, writer: PartWriter) -> None:
        try:
            kept.at_ms(value)
        except RecordError as err:
            LOGGER.warning("a record of %s is left out: %s", kept.topic, err)
            return
        writer.add(Entry(key, value))

    def _models(self, registry: Registry) -> list[ExportedVersion]:
        written = []
        listed = [one for one in registry.versions() if one.record.version != V0 and one.state != "retired"]
        self._progress.stage(MODELS, "versions", len(listed))
        for one in listed:
            self._check_stop()
            path = f"models/{one.record.version}"
            files.remove(self._store, path)  # of an export that was not finished
            manifest = files.write(registry.load(one.record), self._store, path)
            registry.export_encoder(one.record, manifest, self._store)
            written.append(
                ExportedVersion(
                    version=one.record.version,
                    path=path,
                    state=one.state,
                    at_ms=one.record.at_ms,
                    sha256=manifest.sha256,
                )
            )
            self._progress.advance(1)
        return written

    def _advance(self, records: int) -> None:
        self._progress.advance(records)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped
