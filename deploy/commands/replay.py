"""The command `tidecast replay`: its options, progress bar and summary. Never reads a file or moves a time itself."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

import typer

from deploy.commands.command_line import Channels, SkipBad, UntilMs, settings_of, time_ms
from deploy.terminal.console import as_json as to_json
from deploy.terminal.console import say

if TYPE_CHECKING:
    from streaming.recorded.playback import Played
    from streaming.recorded.recorded_rooms import Selection
    from streaming.recorded.recording import Recording
    from streaming.recorded.replay import Replay, Span

INTERRUPTED = 130
LONGEST_GAP_S = 60.0  # longer silences are skipped: recordings consist of windows with hours or days between them

EPILOG = """\
A file is Parquet, CSV or JSON lines, or what others have written; which, is recognised (--format says it instead):
  parquet, csv, json-lines   tables with the columns below; any others are ignored
  chat-downloader            its JSON of Twitch or YouTube; the channel is --channel, else the file's name
  justlog                    its logs of Twitch: text, raw IRC, JSON
  chatterino                 its logs; local times, whose zone the log says, or --time-zone
  kafka-console-consumer     what it prints of rooms, chat or viewer-events, with or without keys and timestamps
Text is UTF-8, packed with gzip or not. The columns of tables:
  chat            at, channel or room, viewer, text [, window]
  rooms           at, type (started, updated, ended), room, streamer [, title, category, language, tags, mature]
  viewer events   at, viewer, room, streamer, action (enter, leave, watch, like, gift, follow, chat)
                  [, seconds, event_id]
`at` is a timestamp or ISO 8601 text, UTC unless it says otherwise; `at_ms`, milliseconds since 1970, does as well (a
file that counts seconds, microseconds or nanoseconds there is read so, with a warning). A text that is null is empty.

Before anything is sent, every row is read and asked of the topic's decoder: one that would be a dead letter on the log
is refused with its number. --skip-bad leaves such rows out and says how many there were of each sort.

From chat alone the rest is derived: a room for each channel and recorded window, from its first message to its last
(without a column window, half an hour of silence parts two rooms), a viewer's enter with the first message in a room,
and chat events. --rooms or --viewer-events give the real ones instead; the chat then needs a column room.

Times are moved to now: the first event happens now, the others as far behind it as they were, divided by --speed.
With --fast, the last event happens now, because workers refuse events from the future. --time recorded keeps them.

examples:
  tidecast replay chat.parquet                            at real speed, as if it happened now
  tidecast replay chat.parquet --window 3 --speed 10      one recorded window, ten times as fast
  tidecast replay chat.parquet --channels channels.csv    with titles: channel,title,category,language
  tidecast replay chat.jsonl --rooms rooms.csv --viewer-events visits.parquet --fast
  tidecast replay somebody-2025-02-17.log --time-zone Europe/Berlin
  tidecast replay chat.parquet --from 2025-03-04T12:50 --until 2025-03-04T13:00 --time recorded --json
"""


def _zone(text: str) -> tzinfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError) as err:
        raise ValueError(f"{text!r} is not a time zone such as Europe/Berlin") from err


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"{text} is not above 0")
    return number


@dataclass(frozen=True, slots=True)
class OpenedFiles:
    """The opened files of a command line; None where one is not given."""

    chat: Recording | None
    rooms: Recording | None
    viewer_events: Recording | None

    @property
    def opened(self) -> list[Recording]:
        return [file for file in (self.rooms, self.viewer_events, self.chat) if file is not None]


@dataclass(frozen=True, slots=True)
class ReplaySource:
    """The source of a replay: its files, their format, and the rows to be played."""

    chat: Path | None = None
    rooms: Path | None = None
    viewer_events: Path | None = None
    channels: Path | None = None
    format: str | None = None
    channel: str | None = None
    time_zone: tzinfo | None = None
    skip_bad: bool = False
    window: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None


def run(
    context: typer.Context,
    chat: Annotated[Path | None, typer.Argument(metavar="FILE", help="recorded chat")] = None,
    *,
    rooms: Annotated[
        Path | None, typer.Option(metavar="FILE", help="recorded starts, updates and ends of rooms")
    ] = None,
    viewer_events: Annotated[Path | None, typer.Option(metavar="FILE", help="recorded viewer events")] = None,
    channels: Channels = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="how FILE is written (default: recognised), see below"),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="whose chat FILE is, where it does not say (default: its name)")
    ] = None,
    time_zone: Annotated[
        tzinfo | None, typer.Option(parser=_zone, metavar="ZONE", help="of local times in FILE, such as Europe/Berlin")
    ] = None,
    skip_bad: SkipBad = False,
    speed: Annotated[
        float | None, typer.Option(parser=_positive, metavar="N", help="N times real speed (default: 1)")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="as fast as Kafka takes them")] = False,
    time: Annotated[Literal["now", "recorded"], typer.Option(help="the events' times")] = "now",
    window: Annotated[int | None, typer.Option(metavar="W", help="only this recorded window of the chat")] = None,
    from_ms: Annotated[
        int | None, typer.Option("--from", parser=time_ms, metavar="TIME", help="only from this recorded time on")
    ] = None,
    until_ms: UntilMs = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="only the first N rows of each file")] = None,
    skip_gaps: Annotated[
        bool, typer.Option(help=f"shorten silences of more than {LONGEST_GAP_S:.0f} s to one second")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object")] = False,
) -> int:
    """Plays recorded chat, rooms and viewer events into Kafka in time order."""
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.progress_bars import PlayProgress  # noqa: PLC0415
    from streaming.broker import KafkaLog  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415
    from streaming.recorded.playback import Pace, Timeline, play  # noqa: PLC0415

    if fast and speed is not None:
        raise typer.BadParameter("argument --fast: not allowed with argument --speed")
    settings, clock, stop = settings_of(context), SystemClock(), threading.Event()
    source = ReplaySource(
        chat=chat,
        rooms=rooms,
        viewer_events=viewer_events,
        channels=channels,
        format=format_,
        channel=channel,
        time_zone=time_zone,
        skip_bad=skip_bad,
        window=window,
        from_ms=from_ms,
        until_ms=until_ms,
        limit=limit,
    )
    files = open_files(source)
    check(source, files)
    replay = replay_of(source, files)
    longest_gap_s = LONGEST_GAP_S if skip_gaps else None
    rate = 1.0 if speed is None else speed
    span = replay.span(rate, longest_gap_s)
    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    sink = KafkaLog(kafka.in_bulk() if fast else kafka, settings.topics.prefix).sink()
    shortened = Timeline(clock.now_ms() - (span.lasts_ms if fast else 0), rate, longest_gap_s)
    kept, at_speed = Timeline(), Timeline(None, rate, longest_gap_s)
    moved, pacing = (shortened, Timeline()) if time == "now" else (kept, at_speed)
    pace = Pace(clock, None if fast else pacing, stop.wait)
    with stop_on_signal(stop), PlayProgress("replay", "rows", replay.rows) as bar:
        if span.skipped_gaps:
            bar.note(
                f"skipping {span.skipped_gaps} silences, {span.skipped_s / 3600:,.1f} hours in all (--no-skip-gaps)"
            )
        played = play(replay.events(moved), sink, pace, stop, lambda far: bar.update(replay.rows_played, far))
        for end in replay.close(played.at_ms):  # for a replay that was stopped; nobody else would end its rooms
            sink.send(end.topic, end.key, end.value)
        sink.flush()
        sink.close()
    say(as_json(files, replay, span, played, stop) if json else summary(replay, span, played, stop))
    return INTERRUPTED if stop.is_set() else 0


def open_files(source: ReplaySource) -> OpenedFiles:
    """Opens the files. Raises InputFileError."""
    from streaming.errors import InputFileError  # noqa: PLC0415
    from streaming.recorded.recording import Recording  # noqa: PLC0415

    if source.chat is None and source.rooms is None and source.viewer_events is None:
        raise InputFileError("nothing to replay; give a FILE of chat, --rooms or --viewer-events")
    named = source.format if source.chat is None else None  # the format of FILE; without one, of the other files
    return OpenedFiles(
        Recording.open(source.chat, "chat", source.format, channel=source.channel, zone=source.time_zone)
        if source.chat
        else None,
        Recording.open(source.rooms, "rooms", named) if source.rooms else None,
        Recording.open(source.viewer_events, "viewer-events", named) if source.viewer_events else None,
    )


def check(source: ReplaySource, files: OpenedFiles) -> None:
    """Reads every row before anything is sent. Raises InputFileError, with the first bad row."""
    from deploy.terminal.recording_check import check_recording  # noqa: PLC0415
    from streaming.recorded.json_records import LogCheck  # noqa: PLC0415

    for file in files.opened:
        check_recording(file, LogCheck(file.kind, selection_of(source)), skip_bad=source.skip_bad)


def replay_of(source: ReplaySource, files: OpenedFiles) -> Replay:
    """The replay of the opened files. Raises InputFileError."""
    from streaming.recorded.replay import Replay, read_channels  # noqa: PLC0415

    channels = read_channels(source.channels) if source.channels else None
    selection = selection_of(source)
    return Replay(files.chat, files.rooms, files.viewer_events, channels=channels, selection=selection)


def selection_of(source: ReplaySource) -> Selection:
    from streaming.recorded.recorded_rooms import Selection  # noqa: PLC0415

    return Selection(source.window, source.from_ms, source.until_ms, source.limit)


def summary(replay: Replay, span: Span, played: Played, stop: threading.Event) -> str:
    """The summary as one line of text."""
    rate = played.events / max(played.elapsed_s, 0.001)
    ended = "interrupted after" if stop.is_set() else "played"
    skipped = f", {span.skipped_gaps} silences shortened" if span.skipped_gaps else ""
    return (
        f"{ended} {replay.rows_played:,} of {replay.rows:,} rows: "
        f"{played.events:,} events in {played.elapsed_s:.1f} s, {rate:,.0f}/s{skipped}"
    )


def as_json(files: OpenedFiles, replay: Replay, span: Span, played: Played, stop: threading.Event) -> str:
    """The summary for scripts."""
    return to_json(
        {
            **dataclasses.asdict(played),
            "events_per_s": round(played.events / max(played.elapsed_s, 0.001), 1),
            "rows": replay.rows,
            "rows_played": replay.rows_played,
            "skipped_gaps": span.skipped_gaps,
            "skipped_s": round(span.skipped_s, 1),
            "interrupted": stop.is_set(),
            "bad_rows": dict(Counter(one.kind for file in files.opened for one in file.bad.values())),
            "remarks": dict(sum((file.remarks for file in files.opened), Counter())),
        }
    )
