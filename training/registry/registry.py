"""The registry of model versions: where their files lie, and which one answers. Never trains, never answers.

Files lie in a folder or an object store; the topic `models` gives their states: candidate, live, retired. A record
follows the files it names: a version is announced once all of it is on the disk, and goes live once all of it was
read back. So a process that dies anywhere, or a disk that fills, leaves the live version as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from streaming.clock import Clock
from streaming.errors import VersionError
from streaming.events import ModelVersion
from streaming.log.codec import encode
from streaming.log.log import Log, Sink
from streaming.log.restore import last_values
from streaming.log.topics import MODELS
from streaming.masked_uri import masked_uri, public_uri
from training.registry import bundle as files
from training.registry.bundle import Bundle
from training.registry.catalog import MODEL, CatalogEntry, VersionCatalog, key_of, v0_record
from training.registry.manifest import V0, Manifest, check_name

if TYPE_CHECKING:
    from streaming.archive.store import Store


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The result of a promotion gate. reason: a sentence for a person; metrics: its figures, kept with the version."""

    passed: bool
    reason: str
    metrics: Mapping[str, float] = field(default_factory=dict)


class PromotionGate(Protocol):
    """A promotion gate: it judges a candidate version before it goes live."""

    def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
        """Whether the candidate may replace the live version (None: v0). Blocks while it measures; changes nothing.

        Raises VersionError where it cannot tell: the candidate then does not go live.
        """


class OpenGate:
    """A promotion gate that passes every version: for a promotion by hand."""

    def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
        """A pass, whatever the versions are."""
        return GateVerdict(True, "put live by hand")


class Registry:
    """The registry of model versions by name. For one thread.

    Each call reads the topic anew. Where two processes announce at once, the later record counts. Every call may raise
    LogUnavailable, TopicMissing and VersionError.
    """

    def __init__(self, store: Store, log: Log, clock: Clock, *, guard: Callable[[], None] = lambda: None) -> None:
        """store: rooted at an absolute place, for its URI is announced to other processes.

        guard: called just before anything is changed; what it raises keeps the change from being made.
        """
        self._store = store
        self._log = log
        self._clock = clock
        self._guard = guard

    def announced(self) -> VersionCatalog:
        """The catalogue as of the end of the topic now. Blocks until it is read."""
        announced = VersionCatalog()
        for partition in self._log.partitions(MODELS):
            for key, value in last_values(self._log, partition).items():
                announced.apply(key, value)
        return announced

    def versions(self) -> list[CatalogEntry]:
        """Entries of all versions, the newest record first."""
        return self.announced().versions()

    def latest(self) -> ModelVersion | None:
        """The live version; None for v0."""
        return self.announced().live

    def show(self, version: str) -> tuple[CatalogEntry, Manifest]:
        """A version and its manifest."""
        listed = _found(self.announced(), version)
        return listed, files.read_manifest(*self._place(listed.record))

    def is_settled(self, version: str) -> bool:
        """Whether a version is there and no candidate any more: live, or it was."""
        known = self.announced().find(version)
        return known is not None and known.state != "candidate"

    def load(self, record: ModelVersion) -> Bundle:
        """The bundle of a version, read from its files and checked in full."""
        return _load(record, *self._place(record))

    def publish(self, bundle: Bundle) -> ModelVersion:
        """Writes a version and announces it as a candidate. After a crash the same call finishes what was begun."""
        version = bundle.manifest.version
        check_name(version)
        self._guard()  # before its files are written, too
        known = self.announced().find(version)
        if known is not None and known.state != "candidate":
            raise VersionError(f"version {version} was published before and is {known.state}; give it another name")
        if not files.exists(self._store, version):
            files.write(bundle, self._store, version)
        elif files.read(self._store, version).manifest.sha256 != files.pack(bundle).manifest.sha256:
            raise VersionError(
                f"{self._store.masked_uri} has another version called {version}; give this one another name"
            )
        metrics = dict(bundle.manifest.metrics)
        return self._announce(self._record(version, self._own_path(version), "candidate", metrics))

    def promote(self, version: str, gate: PromotionGate) -> GateVerdict:
        """Puts a published version live if the gate lets it through.

        It is judged again where another version went live meanwhile: a judgement takes minutes, and others may promote.
        """
        announced = self.announced()
        while True:
            listed, live = _found(announced, version), announced.live
            if listed.state == "live":
                return GateVerdict(True, f"version {version} is live already")
            if version == V0:
                self._announce(v0_record("live", self._clock.now_ms()))
                return GateVerdict(True, "v0 needs no proof")
            verdict = gate.judge(self.load(listed.record), self.load(live) if live is not None else None)
            if not verdict.passed:
                return verdict
            announced = self.announced()
            if announced.live == live:
                break
        metrics = {**listed.record.metrics, **verdict.metrics}
        self._announce(self._record(version, self._path(listed.record), "live", metrics))
        return verdict

    def rollback(self) -> tuple[str, str]:
        """Puts live what was live before, v0 where nothing was, and retires what is live.

        Returns the name of what was live and of what is.
        """
        announced = self.announced()
        live, before = announced.live, announced.before
        if live is None:
            raise VersionError("v0 is live, which needs no model; there is nothing to roll back to")
        if before is not None:
            self.load(before)
        now_ms = self._clock.now_ms()
        to = before or v0_record("live", now_ms)
        retired = msgspec.structs.replace(live, state="retired", at_ms=now_ms)
        self._announce(msgspec.structs.replace(to, at_ms=now_ms), retired)
        return live.version, to.version

    def retire(self, version: str, *, delete: bool = False) -> ModelVersion:
        """Takes a version out of use; it is not rolled back to. delete: its files too, once that is announced."""
        listed = _found(self.announced(), version)
        if version == V0:
            raise VersionError("v0 has no files and cannot be retired: it is what answers when nothing else can")
        if listed.state == "live":
            raise VersionError(f"version {version} is live; put another live first, or `tidecast rollback`")
        record = self._record(version, self._path(listed.record), "retired", listed.record.metrics)
        self._announce(record)
        if delete:
            files.remove(*self._place(record))
        return record

    def prune(self, keep: int) -> list[str]:
        """Retires and deletes old versions: all but the live one, and of each other state the newest `keep`.

        Returns their names. What is announced from another registry keeps its files.
        """
        gone = []
        kept: dict[str, int] = {}
        for listed in self.announced().versions():
            version, state = listed.record.version, listed.state
            if state == "live" or version == V0 or not files.exists(self._store, version):
                continue
            kept[state] = kept.get(state, 0) + 1
            if kept[state] > keep:
                self.retire(version, delete=True)
                gone.append(version)
        return gone

    def _record(
        self, version: str, path: str, state: Literal["candidate", "live", "retired"], metrics: dict[str, float]
    ) -> ModelVersion:
        at_ms = self._clock.now_ms()
        return ModelVersion(name=MODEL, version=version, path=path, state=state, metrics=metrics, at_ms=at_ms)

    def _announce(self, *records: ModelVersion) -> ModelVersion:
        """Writes records to the log, together, and waits until they are there. Returns the first."""
        sink: Sink = self._log.sink()
        try:
            self._guard()
            for record in records:
                sink.send(MODELS, key_of(record), encode(record))
            sink.flush()
        finally:
            sink.close()
        return records[0]

    def _path(self, record: ModelVersion) -> str:
        """A version's path as it is announced once more: an older build wrote secrets into it."""
        uri, under = _root(record, self._store.uri)
        return self._own_path(under) if uri == self._store.uri else record.path

    def _own_path(self, under: str) -> str:
        """The announced place of a version of this registry, without credentials: many read the topic, for long."""
        return f"{public_uri(self._store.uri).rstrip('/')}/{under}"

    def _place(self, record: ModelVersion) -> tuple[Store, str]:
        """The store of a version, and its folder there."""
        if record.version == V0:
            raise VersionError("v0 has no files: it is the answer without a model")
        uri, under = _root(record, self._store.uri)
        return self._store if uri == self._store.uri else _open(uri), under


def load_announced(record: ModelVersion, own_uri: str) -> Bundle:
    """The bundle of a version, read from the place in its record and checked in full. Raises VersionError.

    own_uri: this process's registry, whose URI has the credentials that a record leaves out.
    """
    uri, under = _root(record, own_uri)
    return _load(record, _open(uri), under)


def _root(record: ModelVersion, own_uri: str) -> tuple[str, str]:
    """(URI, folder below it) of a version: in this registry, or in another that it was announced from."""
    root, _, under = record.path.rstrip("/").rpartition("/")
    return (own_uri if public_uri(root) == public_uri(own_uri).rstrip("/") else root), under


def _load(record: ModelVersion, store: Store, under: str) -> Bundle:
    bundle = files.read(store, under)
    if bundle.manifest.version != record.version:
        name = bundle.manifest.version
        raise VersionError(f"{masked_uri(record.path)} is version {name}, announced as {record.version}")
    return bundle


def _open(root: str) -> Store:
    from streaming.archive.store import open_store  # noqa: PLC0415  pyarrow: 60 MB that a replica without a model spares
    from streaming.errors import ArchiveError  # noqa: PLC0415

    try:
        return open_store(root, "registry")
    except ArchiveError as err:
        raise VersionError(str(err)) from err


def _found(announced: VersionCatalog, version: str) -> CatalogEntry:
    listed = announced.find(version)
    if listed is None:
        names = ", ".join(known.record.version for known in announced.versions())
        raise VersionError(f"no version {version!r} was published; known are: {names}")
    return listed
