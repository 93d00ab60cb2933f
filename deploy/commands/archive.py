"""Owns `tidecast archive`: its actions and what they say. Never reads or writes a file of the archive itself."""

from __future__ import annotations

import argparse
import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

from deploy.terminal.console import complain, say, say_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.config.settings import Settings
    from streaming.archive.archiver import ArchiverStatus
    from streaming.archive.config import ArchiveConfig
    from streaming.archive.reader import Archive
    from streaming.archive.upkeep import Step

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
  compact   merge small files of hours that are over (run and `up` do it once an hour)
  prune     delete hours older than archive.keep_hours (so do run and `up`); 0 keeps everything

examples:
  tidecast archive run --uri archive --once       everything on Kafka into the folder ./archive
  TIDECAST_ARCHIVE__URI=s3://bucket/tidecast tidecast archive run
  tidecast archive ls                             topics, hours, records and bytes
  tidecast archive ls chat --json
  tidecast archive prune --keep-hours 48 --dry-run
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "archive",
        help="keep every topic as Parquet, exactly once; show, merge and delete what is kept",
        description="Writes every topic to Parquet files, in a folder or an object store, and looks after them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("run", "ls", "compact", "prune"), help="what to do")
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help="ls: only this topic, by hour")
    parser.add_argument("--uri", metavar="URI", help="the archive, instead of archive.uri")
    parser.add_argument("--once", action="store_true", help="run: end where the log ends now")
    parser.add_argument("--keep-hours", type=int, metavar="N", help="prune: instead of archive.keep_hours")
    parser.add_argument("--dry-run", action="store_true", help="prune: only say what would be deleted")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this
    from streaming.errors import ConfigError  # noqa: PLC0415
    from streaming.topics import TOPICS  # noqa: PLC0415

    settings = from_args(args)
    if args.topic is not None and args.action != "ls":
        raise ConfigError(f"tidecast archive {args.action} takes no TOPIC: it is for all of them")
    if args.topic is not None and args.topic not in TOPICS:
        raise ConfigError(f"no topic {args.topic!r}; the topics are {', '.join(TOPICS)}")
    given = {"uri": args.uri, "keep_hours": args.keep_hours}
    config = dataclasses.replace(
        settings.archive, **{name: value for name, value in given.items() if value is not None}
    )
    if args.action == "run":
        return archive_log(settings, config, once=args.once, as_json=args.json)
    from streaming.archive.reader import Archive  # noqa: PLC0415

    archive = Archive(config.uri)
    code = show(archive, args.topic, as_json=args.json) if args.action == "ls" else look_after(archive, config, args)
    if archive.skipped and not args.json:
        complain(f"tidecast: files skipped: {len(archive.skipped)}; --json names them with the reasons")
    return code


def archive_log(settings: Settings, config: ArchiveConfig, *, once: bool, as_json: bool) -> int:
    """Archives until Ctrl-C, or with `once` up to the log's ends. Raises ArchiveError, LogError."""
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415
    from deploy.terminal.archive_progress import show_progress  # noqa: PLC0415
    from streaming.archive.archiver import Archiver  # noqa: PLC0415
    from streaming.broker import KafkaLog  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415
    from streaming.metrics import MemoryMetrics  # noqa: PLC0415  nobody scrapes a command

    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    stop, over, started_s = threading.Event(), threading.Event(), time.monotonic()
    log = KafkaLog(kafka.in_bulk(), settings.topics.prefix, skip_damaged=settings.log.skip_damaged)
    archiver = Archiver(log, config, MemoryMetrics(), SystemClock())
    told = {"to_end": once}
    progress = threading.Thread(target=show_progress, args=(archiver, over), kwargs=told, daemon=True)
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
    """One line for a person."""
    rate = status.records / max(took_s, 0.001)
    written = f"{status.records:,} records in {status.files:,} files, {status.written_mb:,.1f} MB"
    return f"{'interrupted: ' if interrupted else ''}archived {written} in {took_s:.1f} s, {rate:,.0f}/s"


def show(archive: Archive, topic: str | None, *, as_json: bool) -> int:
    """Prints what the archive holds. Exit code 1 where it holds nothing."""
    from deploy.terminal.archive_table import draw, rows_of  # noqa: PLC0415

    rows = rows_of(archive, topic)
    if as_json:
        say_json({"uri": archive.store.shown, "rows": rows, "skipped": archive.skipped})
    elif rows:
        draw(rows)
    else:
        say(f"{archive.store.shown} holds nothing{f' of {topic}' if topic else ''}; `tidecast archive run` fills it")
    return 0 if rows else 1


def look_after(archive: Archive, config: ArchiveConfig, args: argparse.Namespace) -> int:
    """Merges or deletes, a step at a time; between two of them it can be stopped."""
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415

    stop = threading.Event()
    done: list[dict[str, Any]] = []
    with stop_on_signal(stop), PlainProgress(f"archive {args.action}", "files") as progress:
        for step in _steps(archive, config, args):
            progress.advance(1)
            done.append(
                {"action": step.action, "path": step.file.path, "files": step.num_files, "bytes": step.num_bytes}
            )
            if not args.json:
                verb = f"would be {step.action}" if args.dry_run else step.action
                of = f" from {step.num_files} files" if step.action == "merged" else ""
                say(f"{verb}{of}: {step.file.path} ({step.num_bytes / 1e6:,.1f} MB)")
            if stop.is_set():
                break
    if args.json:
        say_json({"uri": archive.store.shown, "dry_run": args.dry_run, "done": done, "skipped": archive.skipped})
    elif not done:
        kept = "archive.keep_hours is 0: everything is kept" if args.action == "prune" and not config.keep_hours else ""
        say(kept or "nothing to do")
    return INTERRUPTED if stop.is_set() else 0


def _steps(archive: Archive, config: ArchiveConfig, args: argparse.Namespace) -> Iterator[Step]:
    from streaming.archive.upkeep import compact, expired, prune  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415
    from streaming.metrics import MemoryMetrics  # noqa: PLC0415  nobody scrapes a command

    if args.dry_run and args.action != "prune":
        raise ConfigError("--dry-run is for prune: merging loses nothing")
    now_ms = SystemClock().now_ms()
    if args.action == "compact":
        return compact(archive, config, now_ms, MemoryMetrics())
    if args.dry_run:
        return expired(archive, config, now_ms)
    return prune(archive, config, now_ms, MemoryMetrics())
