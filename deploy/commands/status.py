"""The command `tidecast status`: processes, partitions, lag, freshness, index, versions. Never changes anything."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from deploy.commands.command_line import settings_of
from deploy.http.client import Client, NotUp
from deploy.http.prometheus_text import Exposition, parse
from deploy.http.status import Post, SystemStatus, troubles_of
from deploy.terminal.columns import Column, table
from deploy.terminal.console import console, one_line, say, say_json
from tidecast_client import Readiness

if TYPE_CHECKING:
    from rich.console import Console

EPILOG = """\
examples:
  tidecast status            one line per process; exit code 1 where a replica is not current, or a partition
                             of the log is not read: which, from which offset on, why and what to do stands below
  tidecast status --json     everything that each process says of itself

Each process writes its line once a second; one that has not for ten seconds is not shown.
"""
HIDDEN = ("member", "ready", "reason", "state", "restarts", "troubles")
IN_THE_ROW = ("lag", "partitions", "records_per_s")
REFUSED = {
    "refused": "tidecast_dead_letters_total",
    "mended": "tidecast_records_mended_total",
    "forwarded": "tidecast_records_forwarded_total",  # a producer put them in partitions of other keys
    "lost": "tidecast_log_offsets_skipped_total",  # damaged, or deleted before they were read
}
COLUMNS = (
    Column("process"),
    Column("pid", rank=3, right=True),
    Column("node", rank=4, least=6),
    Column("partitions", rank=2, least=6),
    Column("lag", least=16),
    Column("records/s", rank=1, right=True),
    Column(""),
)
SILENT_S = 3.0


def run(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of a table")] = False,
) -> int:
    """Asks the running system for every worker and replica."""
    http = settings_of(context).http
    url = http.url
    with contextlib.closing(Client(url, admin_url=http.admin_url)) as client:
        status, readiness, metrics = client.status(), client.readiness(), parse(client.metrics())
    if not status.processes:
        raise NotUp(f"{url} answers, but no process has said anything of itself for ten seconds")
    freshness_ms = {f"p{share:.0%}".rstrip("%"): _freshness_ms(metrics, share) for share in (0.5, 0.99)}
    refused = refusals(metrics)
    if json:
        found = {"url": url, "ready": readiness, "freshness_ms": freshness_ms, "refused": refused, **_plain(status)}
        say_json(msgspec.to_builtins(found))
    else:
        say(f"{url}   {_standing(readiness)}")
        if freshness_ms["p50"] is not None:
            shown = ", ".join(f"{name} {value} ms" for name, value in freshness_ms.items())
            say(f"text to servable vector, since the start: {shown}")
        show(console(), status)
        for line in refusal_lines(refused):
            say(line)
    return 0 if readiness.state == "current" and not troubles_of(status) else 1


def _standing(readiness: Readiness) -> str:
    if readiness.state == "current":
        return "ready"
    return f"{'answers' if readiness.ready else 'not ready'}, {readiness.state}: {readiness.reason}"


def show(out: Console, status: SystemStatus) -> None:
    """Prints a row per process, with further details below it: cut at the console's width, but not in a pipe."""
    from rich.text import Text  # noqa: PLC0415  slow to import, and `--help` needs none of it

    rows = [_row(post, status.at_ms) for post in status.processes]
    console_lines = out.render_lines(table(COLUMNS, rows, out.width), pad=False)
    out.print(Text("".join(segment.text for segment in console_lines[0]).rstrip()))
    for line, post in zip(console_lines[1:], status.processes, strict=True):
        out.print(Text("".join(segment.text for segment in line).rstrip()))
        if detail := _detail(post):
            out.print(one_line(f"   {detail}"), markup=False, no_wrap=True, overflow="ellipsis")
    for trouble in troubles_of(status):
        where = f"{trouble.topic} partition {trouble.partition}, read by {trouble.reader}"
        out.print(one_line(f"{where}: {trouble.message}"), style="red", markup=False)


def refusals(metrics: Exposition) -> list[dict[str, Any]]:
    """Records refused, mended, forwarded or lost since the start: labels and count per series, largest first."""
    found = [
        {"what": what, **dict(sorted(labels)), "records": round(value)}
        for what, name in REFUSED.items()
        for labels, value in metrics.series.get(name, {}).items()
        if value
    ]
    return sorted(found, key=lambda one: (one["what"] != "refused", -one["records"]))


def refusal_lines(refused: Sequence[Mapping[str, Any]]) -> list[str]:
    """The refusals as text: a line per topic and reason."""
    lines = []
    for one in refused:
        by = ", ".join(f"{name} {value}" for name, value in one.items() if name not in ("what", "records", "topic"))
        lines.append(f"{one['what']} since the start: {one['records']:,} of {one.get('topic', 'all topics')} ({by})")
    if any(one["what"] == "refused" for one in refused):
        lines.append("`tidecast letters` shows what was refused")
    return lines


def _freshness_ms(metrics: Exposition, share: float) -> int | None:
    found_s = metrics.quantile("tidecast_freshness_seconds", share, stage="total")
    return None if found_s is None else round(found_s * 1000)


def _row(post: Post, now_ms: int) -> list[str]:
    rate = post.detail.get("records_per_s")
    silent_s = (now_ms - post.at_ms) / 1000
    return [
        f"{post.name} {post.rank}",
        str(post.pid),
        post.node,
        ",".join(map(str, post.detail.get("partitions", ()))),
        _lag(post.detail.get("lag")),
        "" if rate is None else f"{rate:.0f}",
        f"silent for {silent_s:.0f} s" if silent_s > SILENT_S else "",
    ]


def _detail(post: Post) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {_short(value)}"
        for name, value in post.detail.items()
        if value not in ("", None) and name not in (*HIDDEN, *IN_THE_ROW)
    )


def _lag(lag: Mapping[str, int] | int | None) -> str:
    if isinstance(lag, Mapping):
        most_first = sorted(lag.items(), key=lambda one: -one[1])
        return " ".join(f"{topic} {records}" for topic, records in most_first if records) or "0"
    return "" if lag is None else str(lag)


def _short(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _plain(status: SystemStatus) -> dict[str, Any]:
    return {"at_ms": status.at_ms, "processes": status.processes}
