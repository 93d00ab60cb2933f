"""The manifest of a model version, and its form as JSON. Never reads or writes a file.

It carries the checksums of the version's files and its own, so that a flipped bit anywhere is noticed.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from streaming.errors import VersionError

FORMAT = 1
V0 = "v0"  # the version without a model: the baseline ranker's score over the content vectors
MAX_DIMENSION = 65_536  # of vectors; the largest encoders have some 8,192
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # also a folder's name: no separator, never hidden, never ".."

Dimension = Annotated[int, Meta(ge=1, le=MAX_DIMENSION)]
Count = Annotated[int, Meta(ge=0)]


class FileInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size and checksum of a file of the version. sha256: in hexadecimal."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    num_bytes: Count


class ArrayInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shape and dtype of an array among the weights. dtype: numpy's name of it."""

    shape: tuple[Count, ...]
    dtype: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The description of a model version. `arrays`, `files` and `sha256` stay empty until it is written."""

    format: int = FORMAT
    version: str
    created_at_ms: Count
    parent: str = V0  # the version whose weights training began with; "v0": with none
    encoder_version: str  # of the content vectors that it was trained on; no others may be given to it
    d_content: Dimension
    d_model: Dimension
    features: tuple[str, ...]  # of the ranker, in order
    trained_until_ms: Count  # event time of the newest that it has learned from
    config: dict[str, Any] = {}  # what it was trained with
    metrics: dict[str, float] = {}  # what it was measured at
    arrays: dict[str, ArrayInfo] = {}
    files: dict[str, FileInfo] = {}
    sha256: str = ""  # of this manifest without this field


class _Format(msgspec.Struct):
    format: int


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON, with its checksum. Raises VersionError where a name or a number cannot be written."""
    check_name(manifest.version)
    if not all(map(math.isfinite, manifest.metrics.values())):
        raise VersionError(f"version {manifest.version}: a metric is not a number: {manifest.metrics}")
    try:
        plain = msgspec.json.decode(_bare(manifest), type=Manifest)  # as it is read: 3 among floats is 3.0
        return _encode(msgspec.structs.replace(plain, sha256=digest(_bare(plain))))
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError) as err:
        raise VersionError(f"version {manifest.version}: its manifest is not JSON: {err}") from err


def decode_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in JSON bytes, its checksum verified. where: its place, for the message.

    Raises VersionError: it is no manifest, of another format, or damaged.
    """
    try:
        form = msgspec.json.decode(data, type=_Format).format
        if form != FORMAT:
            raise VersionError(f"{where} has format {form}; this build reads {FORMAT}: update Tidecast")
        manifest = msgspec.json.decode(data, type=Manifest)
        written = digest(_bare(manifest))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError, TypeError) as err:
        raise VersionError(f"{where} is not a manifest: {str(err)[:300]}") from err
    if manifest.sha256 != written:
        raise VersionError(f"{where} is damaged or was edited: its checksum is not that of its contents")
    check_name(manifest.version)
    return manifest


def check_name(version: str) -> None:
    """Checks that a version may have this name. Raises VersionError."""
    if version == V0:
        raise VersionError(f"{V0} is what answers without a model; give the version another name")
    if not NAME.fullmatch(version):
        raise VersionError(f"a version cannot be called {version[:80]!r}: up to 64 of A-Z a-z 0-9 . _ -, no dot first")


def digest(data: bytes | memoryview) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parameters(arrays: Mapping[str, ArrayInfo]) -> int:
    """The number of parameters: values in all arrays together."""
    return sum(math.prod(info.shape) for info in arrays.values())


def _bare(manifest: Manifest) -> bytes:
    return _encode(msgspec.structs.replace(manifest, sha256=""))


def _encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)
