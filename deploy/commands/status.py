"""Owns `tidecast status`: processes, their partitions, lag, freshness, index size, versions. Never changes anything."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.client import Client, NotUp, pretty
from deploy.config import from_args
from deploy.exposition import Exposition, parse
from deploy.status import Post, SystemStatus

EPILOG = """\
examples:
  tidecast status            one line per process; exit code 1 where a replica has not caught up
  tidecast status --json     everything that each process says of itself

Each process writes its line once a second; one that has not for ten seconds is not shown.
"""
HIDDEN = ("member", "ready", "reason", "restarts")
SILENT_S = 3.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "status",
        help="each worker, its partitions, lag, freshness, index size and versions",
        description="Asks the running system for every worker and replica.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    url = from_args(args).http.url
    with contextlib.closing(Client(url)) as client:
        status, readiness, metrics = client.status(), client.readiness(), parse(client.metrics())
    if not status.processes:
        raise NotUp(f"{url} answers, but no process has said anything of itself for ten seconds")
    freshness_ms = {f"p{share:.0%}".rstrip("%"): _freshness_ms(metrics, share) for share in (0.5, 0.99)}
    if args.json:
        print(pretty({"url": url, "ready": readiness, "freshness_ms": freshness_ms, **_plain(status)}))
    else:
        console = Console()
        console.print(f"{url}   {'ready' if readiness.ready else 'not ready: ' + readiness.reason}", highlight=False)
        if freshness_ms["p50"] is not None:
            shown = ", ".join(f"{name} {value} ms" for name, value in freshness_ms.items())
            console.print(
                f"from a text on the log to its vector in the index, since the start: {shown}", highlight=False
            )
        show(console, status)
    return 0 if readiness.ready else 1


def show(console: Console, status: SystemStatus) -> None:
    """One row per process."""
    table = Table(box=None, pad_edge=False)
    for heading in ("process", "pid", "node", "partitions", "lag", "records/s"):
        table.add_column(heading, no_wrap=heading != "lag", min_width=len(heading) if heading != "node" else 4)
    table.add_column("", overflow="fold")
    for post in status.processes:
        table.add_row(*_row(post, status.at_ms))
    console.print(table)


def _freshness_ms(metrics: Exposition, share: float) -> int | None:
    found_s = metrics.quantile("tidecast_freshness_seconds", share, stage="total")
    return None if found_s is None else round(found_s * 1000)


def _row(post: Post, now_ms: int) -> list[str]:
    detail = {name: value for name, value in post.detail.items() if value not in ("", None) and name not in HIDDEN}
    lag = detail.pop("lag", None)
    partitions = ",".join(map(str, detail.pop("partitions", ())))
    rate = detail.pop("records_per_s", None)
    silent_s = (now_ms - post.at_ms) / 1000
    said = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in detail.items()]
    if silent_s > SILENT_S:
        said.append(f"said nothing for {silent_s:.0f} s")
    return [
        f"{post.name} {post.rank}",
        str(post.pid),
        post.node,
        partitions,
        _lag(lag),
        "" if rate is None else f"{rate:.0f}",
        ", ".join(said),
    ]


def _lag(lag: Mapping[str, int] | int | None) -> str:
    if isinstance(lag, Mapping):
        return " ".join(f"{topic} {records}" for topic, records in lag.items() if records) or "0"
    return "" if lag is None else str(lag)


def _short(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _plain(status: SystemStatus) -> dict[str, Any]:
    return {"at_ms": status.at_ms, "processes": status.processes}
