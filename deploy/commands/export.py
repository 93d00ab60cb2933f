"""The command `tidecast export`: rooms, profiles, rules and models as files. Never changes anything that it reads."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say, say_json

if TYPE_CHECKING:
    from deploy.config.settings import Settings
    from deploy.transfer.kept import What
    from deploy.transfer.manifest import Encoding, Manifest
    from streaming.broker import KafkaLog
    from training.registry.registry import Registry

INTERRUPTED = 130
EPILOG = """\
An export is a folder: manifest.json with counts and checksums, Parquet files of the topics, and the models as the
registry has them. It is made while the system runs. `tidecast import` reads it into another installation, or into this
one as of then.

  rooms      the state of each room, with its vectors (topic room-states)
  profiles   what is known of each viewer (topic viewer-profiles). They are personal data: keep the folder as such
  models     every version but those retired, from registry.uri

Until manifest.json is there it is no export: Ctrl-C, a kill or a full disk leave nothing that could be imported, and
the same command begins anew.

examples:
  tidecast export backup-monday
  tidecast export s3://bucket/tidecast/monday --only profiles,models
  TIDECAST_TOPICS__PREFIX=staging. tidecast export staging --json
"""
Only = Annotated[
    str | None,
    typer.Option(metavar="LIST", help="of rooms, profiles, rules, models: these alone, by commas"),
]


def run(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="FOLDER|URI", help="where to; a folder that has no export yet")],
    *,
    only: Only = None,
    json: Annotated[bool, typer.Option("--json", help="the manifest as one JSON object")] = False,
) -> int:
    """Writes rooms, profiles, rules and models to a folder or an object store."""
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415
    from deploy.transfer.export import Exporter  # noqa: PLC0415
    from deploy.transfer.progress import Stopped  # noqa: PLC0415
    from streaming.archive.store import open_store  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415

    settings, what = settings_of(context), asked(only)
    stop, began_s = threading.Event(), time.monotonic()
    store = open_store(folder, "export", "FOLDER")
    with stop_on_signal(stop), PlainProgress("export", "records") as progress, registry_for(what, settings) as registry:
        exporter = Exporter(log_of(settings), store, SystemClock(), progress, stop)
        try:
            manifest = exporter.run(what, encoding_of(settings), registry, settings.topics.prefix)
        except Stopped:
            complain(f"tidecast: interrupted: {store.masked_uri} has no export; the same command begins anew")
            return INTERRUPTED
    if json:
        say_json(msgspec.to_builtins(manifest))
    else:
        say(f"exported {summary(manifest)} to {store.masked_uri} in {time.monotonic() - began_s:.1f} s")
    return 0


def summary(manifest: Manifest) -> str:
    """What is in an export, as a line of text."""
    topics = [f"{manifest.count(topic):,} records of {topic}" for topic in manifest.topics]
    return ", ".join([*topics, f"{len(manifest.models)} versions of the models"])


def asked(only: str | None) -> tuple[What, ...]:
    """What `--only` names; everything without it. Raises ConfigError."""
    from deploy.transfer.kept import EVERYTHING  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415

    if only is None:
        return EVERYTHING
    words = [word.strip() for word in only.split(",")]
    if unknown := [word for word in words if word not in EVERYTHING]:
        raise ConfigError(f"--only {unknown[0]!r}: it is of {', '.join(EVERYTHING)}, with commas between them")
    return tuple(one for one in EVERYTHING if one in words)


def encoding_of(settings: Settings) -> Encoding:
    """The encoder of the settings; its model is not loaded. Raises EncoderError."""
    from deploy.transfer.manifest import Encoding  # noqa: PLC0415
    from training.content.text_encoder import LazyTextEncoder  # noqa: PLC0415  torch

    encoder = LazyTextEncoder(settings.encoder)
    return Encoding(version=encoder.version, dimension=encoder.dimension)


def log_of(settings: Settings) -> KafkaLog:
    """The Kafka of the settings, for a reader in no hurry."""
    from streaming.broker import KafkaLog  # noqa: PLC0415

    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    return KafkaLog(kafka.in_bulk(), settings.topics.prefix, skip_damaged=settings.log.skip_damaged)


@contextlib.contextmanager
def registry_for(what: tuple[What, ...], settings: Settings) -> Iterator[Registry | None]:
    """The registry where models are asked for, else None."""
    from deploy.terminal.model_registry import registry_of  # noqa: PLC0415
    from deploy.transfer.kept import MODELS  # noqa: PLC0415

    if MODELS not in what:
        yield None
        return
    with registry_of(settings) as registry:
        yield registry
