"""The command `tidecast archive`: its actions and their output. Never reads or writes a file of the archive itself."""

from __future__ import annotations

import dataclasses
import threading
import time
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say, say_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.config.settings import Settings
    from streaming.archive.archiver import ArchiverStatus
    from streaming.archive.config import ArchiveConfig
    from streaming.archive.reader import Archive
    from streaming.archive.upkeep import Step

Action = Literal["run", "ls", "compact", "prune"]
INTERRUPTED = 130
ANEW = (
    "made anew, or lost by their broker: they go on in the archive where they ended there. Where it is another "
    "cluster's archive, give --uri (archive.uri) one of its own"
)

EPILOG = """\
The archive keeps every topic as Parquet files, longer than Kafka keeps it; models learn from it. One file holds
consecutive records of a partition and an hour, and its name says which:

  ARCHIVE/topic=chat/hour=2025-03-04T12/chat-3-0000000000000001000-0000000000000001999.parquet
  columns: partition, offset, timestamp (append time), key and value (bytes, as they were on Kafka)

Where to go on is read from the names. A file is there whole or not at all, so that Ctrl-C, a kill or a full disk at any
moment loses nothing and doubles nothing. `tidecast up` runs an Archiver of its own when archive.uri is set.

actions:
  run       archive what is on Kafka and what comes, until Ctrl-C; with --once, up to what is there now
  ls        what the archive holds, by topic; with a TOPIC, by hour
  compact   merge small files of hours that are over, and empty the records of viewers who were erased
            (run and `up` do it once an hour)
  prune     delete hours older than archive.keep_hours (so do run and `up`); 0 keeps everything

examples:
  tidecast archive run --uri archive --once       everything on Kafka into the folder ./archive
  TIDECAST_ARCHIVE__URI=s3://bucket/tidecast tidecast archive run
  tidecast archive ls                             topics, hours, records and bytes
  tidecast archive ls chat --json
  tidecast archive prune --keep-hours 48 --dry-run
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Upkeep:
    """The options of `compact` and `prune`."""

    action: Action
    dry_run: bool
    to_json: bool


def run(
    context: typer.Context,
    action: Annotated[Action, typer.Argument(help="what to do")],
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", help="ls: only this topic, by hour")] = None,
    *,
    uri: Annotated[str | None, typer.Option(metavar="URI", help="the archive, instead of archive.uri")] = None,
    once: Annotated[bool, typer.Option("--once", help="run: end where the log ends now")] = False,
    keep_hours: Annotated[int | None, typer.Option(metavar="N", help="prune: instead of archive.keep_hours")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="prune: only say what would be deleted")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Writes every topic to Parquet files, in a folder or an object store, and looks after them."""
    from streaming.errors import ConfigError  # noqa: PLC0415  the help needs none of this
    from streaming.log.topics import TOPICS  # noqa: PLC0415

    settings = settings_of(context)
    if topic is not None and action != "ls":
        raise ConfigError(f"tidecast archive {action} takes no TOPIC: it is for all of them")
    if topic is not None and topic not in TOPICS:
        raise ConfigError(f"no topic {topic!r}; the topics are {', '.join(TOPICS)}")
    given: dict[str, Any] = {"uri": uri, "keep_hours": keep_hours}
    config = dataclasses.replace(
        settings.archive, **{name: value for name, value in given.items() if value is not None}
    )
    if action == "run":
        return archive_log(settings, config, once=once, as_json=json)
    from streaming.archive.reader import Archive  # noqa: PLC0415

    archive = Archive(config.uri)
    if action == "ls":
        code = show(archive, topic, as_json=json)
    else:
        code = look_after(archive, config, Upkeep(action, dry_run, json))
    if archive.skipped and not json:
        complain(f"tidecast: files skipped: {len(archive.skipped)}; --json names them with the reasons")
    return code


def archive_log(settings: Settings, config: ArchiveConfig, *, once: bool, as_json: bool) -> int:
    """Archives until Ctrl-C, or with `once` up to the log's ends. Raises ArchiveError, LogError."""
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415
    from deploy.terminal.progress_bars import show_progress  # noqa: PLC0415
    from streaming.archive.archiver import Archiver  # noqa: PLC0415
    from streaming.broker import KafkaLog  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415
    from streaming.metrics import MemoryMetrics  # noqa: PLC0415  nobody scrapes a command

    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    stop, over, started_s = threading.Event(), threading.Event(), time.monotonic()
    log = KafkaLog(kafka.in_bulk(), settings.topics.prefix, skip_damaged=settings.log.skip_damaged)
    archiver = Archiver(log, config, MemoryMetrics(), SystemClock())
    ending = {"to_end": once}
    progress = threading.Thread(target=show_progress, args=(archiver, over), kwargs=ending, daemon=True)
    with stop_on_signal(stop):
        progress.start()
        try:
            archiver.run_once(stop, until_end=once)
        finally:
            over.set()
            progress.join()
    status, took_s = archiver.status(), time.monotonic() - started_s
    interrupted = once and stop.is_set()
    if as_json:
        say_json({**dataclasses.asdict(status), "elapsed_s": round(took_s, 3), "interrupted": interrupted})
    else:
        say(summary(status, took_s, interrupted=interrupted))
    if status.anew:
        complain(f"tidecast: {', '.join(status.anew)}: {ANEW}")
    return INTERRUPTED if interrupted else 0


def summary(status: ArchiverStatus, took_s: float, *, interrupted: bool) -> str:
    """The summary as one line of text."""
    rate = status.records / max(took_s, 0.001)
    written = f"{status.records:,} records in {status.files:,} files, {status.written_mb:,.1f} MB"
    return f"{'interrupted: ' if interrupted else ''}archived {written} in {took_s:.1f} s, {rate:,.0f}/s"


def show(archive: Archive, topic: str | None, *, as_json: bool) -> int:
    """Prints the content of the archive. Exit code 1 where it is empty."""
    from deploy.terminal.archive_table import draw, rows_of  # noqa: PLC0415

    rows = rows_of(archive, topic)
    if as_json:
        say_json({"uri": archive.store.masked_uri, "rows": rows, "skipped": archive.skipped})
    elif rows:
        draw(rows)
    else:
        of_topic = f" of {topic}" if topic else ""
        say(f"{archive.store.masked_uri} holds nothing{of_topic}; `tidecast archive run` fills it")
    return 0 if rows else 1


def look_after(archive: Archive, config: ArchiveConfig, asked: Upkeep) -> int:
    """Merges or deletes, a step at a time; between two of them it can be stopped."""
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415

    stop = threading.Event()
    done: list[dict[str, Any]] = []
    with stop_on_signal(stop), PlainProgress(f"archive {asked.action}", "files") as progress:
        for step in _steps(archive, config, asked):
            progress.advance(1)
            done.append(
                {
                    "action": step.action,
                    "path": step.file.path,
                    "files": step.num_files,
                    "bytes": step.num_bytes,
                    "records": step.num_records,
                }
            )
            if not asked.to_json:
                verb = f"would be {step.action}" if asked.dry_run else step.action
                if step.action == "erased":
                    verb = f"erased {step.num_records:,} records of viewers who demanded it"
                of = f" from {step.num_files} files" if step.action == "merged" else ""
                say(f"{verb}{of}: {step.file.path} ({step.num_bytes / 1e6:,.1f} MB)")
            if stop.is_set():
                break
    if asked.to_json:
        say_json({"uri": archive.store.masked_uri, "dry_run": asked.dry_run, "done": done, "skipped": archive.skipped})
    elif not done:
        kept = (
            "archive.keep_hours is 0: everything is kept" if asked.action == "prune" and not config.keep_hours else ""
        )
        say(kept or "nothing to do")
    return INTERRUPTED if stop.is_set() else 0


def _steps(archive: Archive, config: ArchiveConfig, asked: Upkeep) -> Iterator[Step]:
    from streaming.archive.upkeep import Eraser, compact, expired, prune  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415
    from streaming.metrics import MemoryMetrics  # noqa: PLC0415  nobody scrapes a command

    if asked.dry_run and asked.action != "prune":
        raise ConfigError("--dry-run is for prune: merging loses nothing")
    now_ms = SystemClock().now_ms()
    if asked.action == "compact":
        metrics = MemoryMetrics()
        return chain(compact(archive, config, now_ms, metrics), Eraser().steps(archive, now_ms, metrics))
    if asked.dry_run:
        return expired(archive, config, now_ms)
    return prune(archive, config, now_ms, MemoryMetrics())
