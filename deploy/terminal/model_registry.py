"""Access of commands to the registry, and the look of versions on a terminal. Never changes a version."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.config.settings import Settings
from deploy.terminal.columns import Column, table
from deploy.terminal.console import console
from streaming.archive.store import open_store
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.errors import ArchiveError, LogUnavailable, VersionError
from streaming.masked_uri import masked_uri
from training.content.language_model import SHORT_NAMES
from training.registry.bundle import MANIFEST, Bundle, exists, read
from training.registry.catalog import CatalogEntry
from training.registry.encoders import EncoderFiles
from training.registry.manifest import V0, Manifest, parameters
from training.registry.registry import Registry

CONNECT_S = 3.0  # a broker that runs answers within milliseconds, and a person waits
COLUMNS = (
    Column("version"),
    Column("state"),
    Column("since", rank=1),
    Column("metrics", rank=2, least=12),
    Column("path", rank=3, least=20),
)
SHOWN_METRICS = 3  # in a row of the table; `show` has all of them


@contextlib.contextmanager
def registry_of(settings: Settings, uri: str | None = None) -> Iterator[Registry]:
    """The registry of the settings, or the one at `uri`. Without a Kafka the error names what to do."""
    config = settings.registry if uri is None else dataclasses.replace(settings.registry, uri=uri)
    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    kafka = dataclasses.replace(kafka, connect_timeout_s=min(CONNECT_S, kafka.connect_timeout_s))
    try:
        store = open_store(config.below(Path.cwd()).uri, "registry")
        log = KafkaLog(kafka, settings.topics.prefix, skip_damaged=settings.log.skip_damaged)
        yield Registry(store, log, SystemClock())
    except ArchiveError as err:
        raise VersionError(str(err)) from err
    except LogUnavailable as err:
        raise LogUnavailable(
            f"no Kafka answers at {kafka.bootstrap_servers}, and which version is live stands there: start the system "
            "(`tidecast up`) or a Kafka (`tidecast kafka start`), or name yours with TIDECAST_KAFKA__BOOTSTRAP_SERVERS"
        ) from err


def bundle_at(folder: str) -> Bundle:
    """The version in a folder, or at a URI, checked in full. Raises VersionError."""
    try:
        return read(open_store(folder if "://" in folder else str(Path(folder).expanduser().resolve()), "registry"))
    except ArchiveError as err:
        raise VersionError(str(err)) from err


def version_at(place: str, settings: Settings) -> Bundle:
    """The version in a folder or at a URI, else the registry's of that name. Needs no Kafka. Raises VersionError."""
    if "/" in place or Path(place).is_dir():
        return bundle_at(place)
    if place == V0:
        raise VersionError("v0 has no model; `--rankers 'version 0'` ranks as it does")
    uri = settings.registry.below(Path.cwd()).uri
    try:
        store = open_store(uri, "registry")
        if exists(store, place):
            return read(store, place)
        names = sorted(path.parent.as_posix() for entry in store.list() if (path := Path(entry.path)).name == MANIFEST)
    except ArchiveError as err:
        raise VersionError(str(err)) from err
    known = f"it has {', '.join(names)}" if names else "which has none"
    raise VersionError(
        f"there is neither a folder of that name here nor such a version in the registry at {masked_uri(uri)}, {known}"
    )


def row_of(listed: CatalogEntry) -> dict[str, Any]:
    """A version as a JSON object."""
    record = listed.record
    return {
        "version": record.version,
        "state": listed.state,
        "path": masked_uri(record.path),
        "metrics": record.metrics,
        "at_ms": record.at_ms,
        "encoder": record.encoder,
    }


def draw(versions: Sequence[CatalogEntry]) -> None:
    """Prints versions as a table, on stdout."""
    rows = []
    for listed in versions:
        record = listed.record
        some = list(record.metrics.items())[:SHOWN_METRICS]
        figures = ", ".join(f"{name} {value:.4g}" for name, value in some)
        rows.append((record.version, listed.state, when(record.at_ms), figures, masked_uri(record.path)))
    out = console()
    out.print(table(COLUMNS, rows, out.width))


def describe(listed: CatalogEntry, manifest: Manifest, encoder: EncoderFiles | None) -> list[str]:
    """A version in lines of text, for people. encoder: its files in the registry."""
    size = sum(file.num_bytes for file in manifest.files.values())
    lines = {
        "version": f"{manifest.version}   {listed.state} since {when(listed.record.at_ms)}",
        "path": masked_uri(listed.record.path),
        "created": when(manifest.created_at_ms),
        "trained until": when(manifest.trained_until_ms),
        "begun from": manifest.parent,
        "encoder": f"{manifest.encoder_version}, {manifest.d_content} dimensions → {manifest.d_model}",
        "encoder from": _origin(manifest.encoder_version, encoder),
        "size": f"{parameters(manifest.arrays):,} parameters, {size / 1e6:,.1f} MB",
        "features": ", ".join(manifest.features) or "none",
        "config": ", ".join(f"{name} {value}" for name, value in _flat(manifest.config)) or "none",
    }
    metrics = [f"  {name:<28} {value:.4f}" for name, value in {**manifest.metrics, **listed.record.metrics}.items()]
    return [*(f"{name:<14} {value}" for name, value in lines.items()), *(["metrics", *metrics] if metrics else [])]


def _origin(encoder_version: str, encoder: EncoderFiles | None) -> str:
    if encoder is not None:
        return f"the registry, {encoder.num_bytes / 1e6:,.1f} MB"
    name = encoder_version.partition("/")[0]
    short = next((short for short, about in SHORT_NAMES.items() if about.version == name), None)
    return "encoder.model, as its files are not in the registry" if short is None else f"its package: {short}"


def _flat(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def when(at_ms: int) -> str:
    """A moment in local time; "always" for 0, the time of v0."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at_ms else "always"
