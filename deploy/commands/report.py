"""The command `tidecast report`: where it reads from, and its output. Never joins or computes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.command_line import one_of, settings_of, time_ms
from deploy.terminal.console import complain, say_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.config.settings import Settings
    from training.examples.event_stream import StreamRecord

BY = ("version", "source", "position", "day")

EPILOG = """\
An impression is a room that was shown in an answer. The report says what viewers made of impressions, each with a 95 %
interval by viewer:

  entered %    of the impressions, those after which the viewer entered the room
  stay s       seconds in the visits that an impression led to, per impression
  followed %   of the impressions, those after which the viewer followed the streamer

A visit or follow that names its answer (`request_id`) belongs to that answer. One that names none belongs to the newest
answer that had shown the room to the viewer, at most --window-s before. How many of each there were is said first.
Answers are a sample of all (`recommend.impressions`): events of one that was not noted are counted, and join none.

For each experiment the variants are compared with the first one, and it is checked that viewers are divided among them
as the weights say. Viewers are drawn, so all intervals are by viewer. docs/experiments.md has the method.

examples:
  tidecast report                                 the archive (archive.uri), or without one what is on Kafka
  tidecast report --from 2026-11-24 --until 2026-12-01 --by version --by day
  tidecast report --log --json | jq '.experiments[] | {experiment, sample_ratio}'
"""


def run(
    context: typer.Context,
    *,
    from_: Annotated[
        int | None,
        typer.Option("--from", parser=time_ms, metavar="TIME", help="only what was shown from then on (UTC)"),
    ] = None,
    until: Annotated[
        int | None, typer.Option(parser=time_ms, metavar="TIME", help="only what was shown before")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            parser=one_of(BY), metavar="WHAT", help="break down by version, source, position or day; default: by each"
        ),
    ] = None,
    window_s: Annotated[
        int, typer.Option(min=1, max=86_400, metavar="S", help="so long after an answer a visit may belong to it")
    ] = 600,
    archive: Annotated[str | None, typer.Option(metavar="URI", help="the archive, instead of archive.uri")] = None,
    log: Annotated[bool, typer.Option("--log", help="read what is on Kafka, although there is an archive")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> int:
    """Says what viewers entered, how long they stayed and whom they followed, per impression and variant."""
    from deploy.local.stopping import interrupt_on_sigterm  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.progress_bars import CheckProgress  # noqa: PLC0415
    from deploy.terminal.report_table import draw  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415
    from training.report.attribution import Attribution  # noqa: PLC0415
    from training.report.report import as_dict, report_of  # noqa: PLC0415

    settings = settings_of(context)
    if log and archive is not None:
        raise ConfigError("--log and --archive name two places to read from; give one")
    if from_ is not None and until is not None and from_ >= until:
        raise ConfigError("--from is not before --until: nothing can be between them")
    attribution = Attribution(window_s, settings.profile, until)
    uri = "" if log else settings.archive.uri if archive is None else archive
    stream = _of_archive(uri, from_, until, window_s) if uri else _of_log(settings, from_)
    with interrupt_on_sigterm(), CheckProgress("report") as progress:
        for count, record in enumerate(stream, start=1):
            attribution.apply(record)
            if count % REPORT_EVERY == 0:
                progress.update(count)
    joined = attribution.joined()
    if not len(joined.shown) and not json:
        place = f"the archive {uri}" if uri else "the topics impressions and viewer-events"
        complain(f"tidecast: {place}: no impression in that time, and {joined.events:,} viewer events. {WHY_NONE}")
        return 1
    found = report_of(joined, window_s, settings.experiments.by_name, [*dict.fromkeys(by or BY)])
    if json:
        say_json(as_dict(found))
    else:
        draw(found)
    return 0 if len(joined.shown) else 1


REPORT_EVERY = 1_000  # records
WHY_NONE = (
    "Replicas note a share of their answers (recommend.impressions; 0: none). An archive is behind by archive.flush_s"
)


def _of_archive(uri: str, from_ms: int | None, until_ms: int | None, window_s: int) -> Iterator[StreamRecord]:
    """The records of an archive, and of the window after `until_ms`, in which events still belong to what was shown."""
    from streaming.archive.reader import Archive  # noqa: PLC0415
    from streaming.masked_uri import masked_uri  # noqa: PLC0415
    from training.examples.event_stream import from_archive  # noqa: PLC0415
    from training.report.attribution import LATE_MS  # noqa: PLC0415
    from training.report.log_stream import JOINED  # noqa: PLC0415

    archive = Archive(uri)
    last_ms = None if until_ms is None else until_ms + 1_000 * window_s + LATE_MS
    yield from from_archive(archive, from_ms, last_ms, JOINED)
    if archive.skipped:
        first, why = next(iter(archive.skipped.items()))
        complain(f"tidecast: {masked_uri(uri)}: files skipped: {len(archive.skipped)}, the first {first}: {why}")


def _of_log(settings: Settings, from_ms: int | None) -> Iterator[StreamRecord]:
    """The records that are on Kafka."""
    from streaming.broker import KafkaLog  # noqa: PLC0415
    from training.report.log_stream import from_log  # noqa: PLC0415

    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    log = KafkaLog(kafka.in_bulk(), settings.topics.prefix, skip_damaged=settings.log.skip_damaged)
    return from_log(log, lambda text: complain(f"tidecast: {text}"), from_ms)
