"""Owns `tidecast status`: processes, their partitions, lag, freshness, index size, versions. Never changes anything."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.client import Client, NotUp, pretty
from deploy.config import from_args
from deploy.status import Post, Readiness, SystemStatus

EPILOG = """\
examples:
  tidecast status            one line per process; exit code 1 where a replica has not caught up
  tidecast status --json     everything that each process says of itself

Each process writes its line once a second; one that has not for ten seconds is not shown.
"""


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
    client = Client(url)
    status, readiness = client.status(), client.readiness()
    if not status.processes:
        raise NotUp(f"{url} answers, but no process has said anything of itself for ten seconds")
    if args.json:
        print(pretty({"url": url, "ready": readiness, **_plain(status)}))
    else:
        show(Console(), url, status, readiness)
    return 0 if readiness.ready else 1


def show(console: Console, url: str, status: SystemStatus, readiness: Readiness) -> None:
    """The status as a table."""
    console.print(f"{url}   {'ready' if readiness.ready else 'not ready: ' + readiness.reason}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("process", "pid", "node", "partitions", "lag", "records/s", "what it says"):
        table.add_column(heading, overflow="fold")
    for post in status.processes:
        table.add_row(*_row(post, status.at_ms))
    console.print(table)


def _row(post: Post, now_ms: int) -> list[str]:
    detail = dict(post.detail)
    lag = detail.pop("lag", detail.pop("lag_records", None))
    detail.pop("member", None)
    partitions = ",".join(map(str, detail.pop("partitions", ())))
    rate = detail.pop("records_per_s", None)
    detail["seen"] = f"{max(0, now_ms - post.at_ms) / 1000:.1f} s ago"
    said = ", ".join(f"{name} {_short(value)}" for name, value in detail.items() if value not in ("", None))
    return [
        f"{post.name} {post.rank}",
        str(post.pid),
        post.node,
        partitions,
        _lag(lag),
        "" if rate is None else f"{rate:.0f}",
        said,
    ]


def _lag(lag: Mapping[str, int] | int | None) -> str:
    if isinstance(lag, Mapping):
        return " ".join(f"{topic} {records}" for topic, records in lag.items() if records) or "0"
    return "" if lag is None else str(lag)


def _short(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _plain(status: SystemStatus) -> dict[str, Any]:
    return {"at_ms": status.at_ms, "processes": status.processes}
