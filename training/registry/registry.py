"""The registry of model versions: where their files lie, and which one answers. Never trains, never answers.

Files lie in a folder or an object store, those of encoders that come from no package beside them; the topic `models`
gives the versions' states: candidate, live, retired. A record follows the files it names: a version is announced once
all of it is on the disk, and goes live once all of it was read back. So a process that dies anywhere, or a disk that
fills, leaves the live version as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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
from training.content.encoder_by_version import folder_name
from training.registry import bundle as files
from training.registry import encoders
from training.registry.bundle import Bundle
from training.registry.catalog import MODEL, CatalogEntry, VersionCatalog, key_of, v0_record
from training.registry.manifest import V0, Manifest, check_name

if TYPE_CHECKING:
    from streaming.archive.store import Store
    from training.registry.encoders import EncoderFiles


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

    def encoder_files(self, record: ModelVersion, manifest: Manifest) -> EncoderFiles | None:
        """The files of a version's encoder beside it; None where they are not kept there."""
        name = folder_name(manifest.encoder_version)
        return encoders.find(self._place(record)[0], name) if name is not None else None

    def export_encoder(self, record: ModelVersion, manifest: Manifest, to: Store) -> None:
        """Writes the encoder of a version to another store, where its files are kept beside the version."""
        store, name = self._place(record)[0], folder_name(manifest.encoder_version)
        with encoders.copied(store, name) as folder:
            if folder is not None and name is not None:
                encoders.write(folder, to, name)

    def publish(self, bundle: Bundle, encoder: Path | None = None) -> ModelVersion:
        """Writes a version and announces it as a candidate. After a crash the same call finishes what was begun.

        encoder: the folder of its encoder, whose files are kept beside it where the encoder comes from no package.
        Without them it can be served where encoder.model is that folder alone.
        """
        version, name = bundle.manifest.version, folder_name(bundle.manifest.encoder_version)
        check_name(version)
        self._guard()  # before its files are written, too
        known = self.announced().find(version)
        if known is not None and known.state != "candidate":
            raise VersionError(f"version {version} was published before and is {known.state}; give it another name")
        if encoder is not None and name is not None:
            encoders.write(encoder, self._store, name)
        if not files.exists(self._store, version):
            files.write(bundle, self._store, version)
        elif files.read(self._store, version).manifest.sha256 != files.pack(bundle).manifest.sha256:
            raise VersionError(
                f"{self._store.masked_uri} has another version called {version}; give this one another name"
            )
        metrics = dict(bundle.manifest.metrics)
        reads = bundle.manifest.encoder_version
        record = self._announce(self._record(version, self._own_path(version), "candidate", metrics, reads))
        if encoder is not None and name is not None:
            encoders.write(encoder, self._store, name)  # no version named it until now: others may have pruned it
        return record

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
            candidate = self.load(listed.record)
            self._check_encoder(listed.record, candidate.manifest)
            verdict = gate.judge(candidate, self.load(live) if live is not None else None)
            if not verdict.passed:
                return verdict
            announced = self.announced()
            if announced.live == live:
                break
        metrics = {**listed.record.metrics, **verdict.metrics}
        reads = candidate.manifest.encoder_version
        self._announce(self._record(version, self._path(listed.record), "live", metrics, reads))
        return verdict

    def rollback(self) -> tuple[str, str]:
        """Puts live what was live before, v0 where nothing was, and retires what is live.

        Returns the name of what was live and of what is.
        """
        announced = self.announced()
        live, before = announced.live, announced.before
        if live is None:
            raise VersionError("v0 is live, which needs no model; there is nothing to roll back to")
        now_ms = self._clock.now_ms()
        to = v0_record("live", now_ms)
        if before is not None:
            manifest = self.load(before).manifest
            self._check_encoder(before, manifest)
            to = msgspec.structs.replace(before, encoder=manifest.encoder_version)
        retired = msgspec.structs.replace(live, state="retired", at_ms=now_ms, encoder=self._encoder(live))
        self._announce(msgspec.structs.replace(to, at_ms=now_ms), retired)
        return live.version, to.version

    def retire(self, version: str, *, delete: bool = False) -> ModelVersion:
        """Takes a version out of use; it is not rolled back to. delete: its files too, once that is announced."""
        listed = _found(self.announced(), version)
        if version == V0:
            raise VersionError("v0 has no files and cannot be retired: it is what answers when nothing else can")
        if listed.state == "live":
            raise VersionError(f"version {version} is live; put another live first, or `tidecast rollback`")
        reads, metrics = self._encoder(listed.record), listed.record.metrics
        record = self._record(version, self._path(listed.record), "retired", metrics, reads)
        self._announce(record)
        if delete:
            store, under = self._place(record)
            files.remove(store, under)
            self._drop_encoders(store, [record])
        return record

    def prune(self, keep: int) -> list[str]:
        """Retires and deletes old versions: all but the live one, and of each other state the newest `keep`.

        Returns their names. What is announced from another registry keeps its files. Encoders go with the last version
        that names them.
        """
        gone = []
        kept: dict[str, int] = {}
        versions = self.announced().versions()
        for listed in versions:
            version, state = listed.record.version, listed.state
            if state == "live" or version == V0 or not files.exists(self._store, version):
                continue
            kept[state] = kept.get(state, 0) + 1
            if kept[state] > keep:
                self.retire(version, delete=True)
                gone.append(version)
        self._drop_encoders(self._store, (one.record for one in versions))  # a process may have died before it did
        return gone

    def _drop_encoders(self, store: Store, records: Iterable[ModelVersion]) -> None:
        """Deletes the encoders that these versions name and no version in the store does."""
        named = {name for one in records if (name := folder_name(one.encoder)) is not None}
        there = named & set(encoders.names(store)) if named else named
        if there:
            try:
                needed = _read_by_versions(store)
            except VersionError:  # what a damaged version reads is not known, so all stay until it is gone
                return
            for name in there - needed:
                self._guard()
                encoders.remove(store, name)

    def _check_encoder(self, record: ModelVersion, manifest: Manifest) -> None:
        """Reads back a version's encoder where its files are beside it. Raises VersionError: they are damaged."""
        name, store = folder_name(manifest.encoder_version), self._place(record)[0]
        if name is not None and encoders.find(store, name) is not None:
            encoders.check(store, name)

    def _encoder(self, record: ModelVersion) -> str:
        """The encoder version that a version reads; "" where its record does not say and its files are gone."""
        try:
            return record.encoder or files.read_manifest(*self._place(record)).encoder_version
        except VersionError:
            return ""

    def _record(
        self,
        version: str,
        path: str,
        state: Literal["candidate", "live", "retired"],
        metrics: dict[str, float],
        encoder: str,
    ) -> ModelVersion:
        at_ms = self._clock.now_ms()
        return ModelVersion(
            name=MODEL, version=version, path=path, state=state, metrics=metrics, at_ms=at_ms, encoder=encoder
        )

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


def fetch_encoder(name: str, into: Path, own_uri: str, records: Iterable[ModelVersion] = ()) -> None:
    """Writes the files of the encoder NAME@digest into a folder, each checked: of this process's registry, or another.

    records: versions; where some were announced from other registries, their encoders are there. Blocks. Raises
    VersionError: no registry has it, or it is damaged.
    """
    elsewhere = {_root(one, own_uri)[0] for one in records if folder_name(one.encoder) == name}
    others = [_open(uri) for uri in sorted(elsewhere - {own_uri})]
    own = _open(own_uri)
    encoders.read(next((store for store in others if encoders.find(store, name)), own), name, into)


def _read_by_versions(store: Store) -> set[str]:
    """The encoders of all versions in a store, announced or not. Raises VersionError: one cannot be read."""
    manifests = [files.read_manifest(store, under) for under in files.versions(store)]
    return {name for one in manifests if (name := folder_name(one.encoder_version)) is not None}


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
