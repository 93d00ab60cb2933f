"""The manifest of an export: what is in it, with counts and checksums. Written last: without it there is no export."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from streaming.archive.store import Store, read_bytes
from streaming.errors import ArchiveError
from streaming.events import SCHEMA_VERSION
from training.registry.manifest import digest

MANIFEST = "manifest.json"
FORMAT = "tidecast-export"
FORMAT_VERSION = 1


class ExportError(ArchiveError):
    """An export that cannot be written, read, or taken in here."""


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """The encoder of an installation: its vectors mean nothing to another one."""

    version: str
    dimension: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file with records of one topic, in Parquet."""

    topic: str
    path: str
    records: int
    num_bytes: int
    sha256: str


class ExportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the models: a folder as the registry has it. sha256: that of its own manifest."""

    version: str
    path: str
    state: str  # live, before or candidate
    at_ms: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an export. sha256: of this manifest without this field."""

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    schema_version: int = SCHEMA_VERSION  # of the records
    created_at_ms: int
    prefix: str  # topics.prefix of where it comes from
    encoding: Encoding
    topics: tuple[str, ...]  # those that were asked for, also where they have no record
    parts: tuple[Part, ...]
    models: tuple[ExportedVersion, ...]
    sha256: str = ""

    def count(self, topic: str) -> int:
        """How many records of a topic there are."""
        return sum(part.records for part in self.parts if part.topic == topic)


class _Head(msgspec.Struct):
    format: str = ""
    format_version: int = 0


def write_manifest(store: Store, manifest: Manifest) -> Manifest:
    """Writes the manifest, and with it makes an export of the files. Raises ArchiveError."""
    sealed = msgspec.structs.replace(manifest, sha256=digest(_bare(manifest)))
    store.put(MANIFEST, msgspec.json.format(msgspec.json.encode(sealed), indent=2), replace=True)
    return sealed


def read_manifest(store: Store) -> Manifest:
    """The manifest of an export. Raises ExportError: there is none, it is damaged, or of another version."""
    place = f"{store.masked_uri}/{MANIFEST}"
    try:
        text = read_bytes(store, MANIFEST)
    except FileNotFoundError as err:
        raise ExportError(
            f"{place} is not there: this is no export, or one that was not finished; run `tidecast export` again"
        ) from err
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format != FORMAT:
            raise ExportError(f"{place} is not the manifest of an export")
        if head.format_version != FORMAT_VERSION:
            raise ExportError(
                f"{place} has format version {head.format_version}; this build reads version {FORMAT_VERSION}. "
                "Export again with this build, or import with the one that wrote it"
            )
        found = msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as err:
        raise ExportError(f"{place} is damaged: {err}") from err
    if digest(_bare(found)) != found.sha256:
        raise ExportError(f"{place} is damaged, or was changed: its checksum is not that of its content")
    if found.schema_version != SCHEMA_VERSION:
        raise ExportError(
            f"{place} has records of schema version {found.schema_version}; this build writes {SCHEMA_VERSION}"
        )
    return found


def require_same_encoder(manifest: Manifest, here: Encoding) -> None:
    """Raises ExportError where vectors of the export mean something else here."""
    there = manifest.encoding
    for name, its, ours in (
        ("vectors of dimension", there.dimension, here.dimension),
        ("the encoder", there.version, here.version),
    ):
        if its != ours:
            raise ExportError(
                f"the export has {name} {its}, this installation {ours}: its vectors and models would mean something "
                "else here. Set encoder.model, prefix, max_tokens and precision as there, or import "
                "--only profiles"
            )


def has_manifest(store: Store) -> bool:
    """Whether the folder has a finished export. Raises ArchiveError."""
    return any(entry.path == MANIFEST for entry in store.list())


def topics_of(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """The parts by topic, in order."""
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.topic, []).append(part)
    return found


def _bare(manifest: Manifest) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(manifest, sha256=""))
