"""The health of the system in words and figures: verdicts on freshness, processes and lag. Never draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deploy.console.explanation import duration
from deploy.console.history import Figures
from deploy.console.shown_text import NAME, shown
from deploy.http.prometheus_text import Exposition
from deploy.http.status import Post, SystemStatus, troubles_of

Tone = Literal["", "good", "warn", "bad"]
SILENT_MS = 3_000  # a process posts once a second
PROMISED_P50_S = 1.0  # docs/architecture.md, Promises
BEHIND = 10_000  # records: more than a worker reads in a second


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure in words, a line below it, and whether it is well."""

    value: str
    under: str = ""
    tone: Tone = ""


def freshness(seconds: float | None, promised_s: float | None = None) -> Reading:
    """A quantile of the time from a record's append to servable. promised_s: what it must stay under."""
    if seconds is None:
        return Reading("–", "nothing became servable in the last minute")
    under = "chat to servable, last minute"
    tone: Tone = "" if promised_s is None else "good" if seconds <= promised_s else "warn"
    return Reading(duration(seconds * 1000), under, tone)


def dead_rooms(metrics: Exposition) -> Reading:
    """Ended rooms that the last check of an answer found: it must stay 0."""
    dead = round(metrics.total("tidecast_dead_rooms_returned_total"))
    return Reading(f"{dead}", "found by the last check of an answer; stays 0", "bad" if dead else "good")


def encoder(now: Figures) -> Reading:
    """What the encoder does, and what waits for it."""
    late = f", {now.stale:.0f} rooms for over 30 s" if now.stale else ""
    under = f"{now.batches:.1f} batches at work, {now.backlog:.0f} texts wait{late}"
    return Reading(f"{now.texts_per_s:.1f} texts/s", under, "warn" if now.stale else "")


def model(status: SystemStatus) -> Reading:
    """The version that answers, and the one that was refused."""
    said = [post.detail for post in status.processes if "model_version" in post.detail]
    live = sorted({str(detail["model_version"]) for detail in said})
    refused = sorted({str(detail["model_refused"]) for detail in said if detail.get("model_refused")})
    waits = sorted({str(detail["model_waits"]) for detail in said if detail.get("model_waits")})
    if not live:
        return Reading("–", "no replica says")
    under = "live in every replica" if len(live) == 1 else "replicas differ"
    if waits:
        under = shown("; ".join(waits))
    if refused:
        under = f"refused: {shown('; '.join(refused))}"
    return Reading(shown(", ".join(live), NAME), under, "warn" if refused or len(live) > 1 else "")


def total_lag(status: SystemStatus) -> Reading:
    """All records that somebody has still to read."""
    lag = sum(sum(_lag(post).values()) for post in status.processes)
    return Reading(f"{lag:,}", "records to read, all readers", "warn" if lag > BEHIND else "")


def process_rows(status: SystemStatus) -> tuple[dict[str, Any], ...]:
    """A row per process."""
    return tuple(_process(post, status.at_ms) for post in status.processes)


def lag_rows(status: SystemStatus) -> tuple[dict[str, Any], ...]:
    """A row per process and topic that it reads, the largest lag first."""
    rows = [
        {
            "id": f"{post.name} {post.rank} {topic}",
            "process": f"{post.name} {post.rank}",
            "topic": shown(topic, NAME),
            "partitions": _partitions(post) or "all",
            "lag": f"{records:,}",
            "records": records,
        }
        for post in status.processes
        for topic, records in _lag(post).items()
    ]
    return tuple(sorted(rows, key=lambda row: (-int(row["records"]), str(row["id"]))))


def trouble_lines(status: SystemStatus) -> list[str]:
    """What processes report of partitions that are not read."""
    return [
        f"{one.topic} partition {one.partition}, read by {one.reader}: {one.message}" for one in troubles_of(status)
    ]


def _process(post: Post, now_ms: int) -> dict[str, Any]:
    state, tone = _state(post, now_ms)
    rate = post.detail.get("records_per_s")
    return {
        "id": f"{post.name} {post.rank}",
        "process": f"{post.name} {post.rank}",
        "state": shown(state, 200),
        "tone": tone,
        "pid": post.pid,
        "node": shown(post.node, NAME),
        "partitions": _partitions(post),
        "rate": "" if rate is None else f"{rate:.0f}",
    }


def _state(post: Post, now_ms: int) -> tuple[str, Tone]:
    detail, silent_ms = post.detail, now_ms - post.at_ms
    state, reason = detail.get("state", "current"), detail.get("reason", "")
    verdicts: Sequence[tuple[object, str, Tone]] = (
        (detail.get("error"), str(detail.get("error")), "bad"),
        (silent_ms > SILENT_MS, f"silent for {duration(silent_ms)}", "bad"),
        (detail.get("standing_by"), f"stands by: {detail.get('standing_by')} does its work", "warn"),
        (detail.get("troubles"), "does not read all of the log", "bad"),
        (not detail.get("ready", True), reason or "starts", "warn"),
        (detail.get("missing"), str(detail.get("missing")), "warn"),
        (state != "current", f"{state}: {reason}", "warn"),
    )
    return next(((said, tone) for holds, said, tone in verdicts if holds), ("works", "good"))


def _lag(post: Post) -> dict[str, int]:
    lag = post.detail.get("lag") or {}
    return {str(topic): int(records) for topic, records in lag.items()} if isinstance(lag, dict) else {}


def _partitions(post: Post) -> str:
    """Partitions as people write them: "0–3, 7"."""
    owned: Sequence[int] = sorted(post.detail.get("partitions") or ())
    runs: list[list[int]] = []
    for partition in owned:
        if runs and runs[-1][-1] == partition - 1:
            runs[-1].append(partition)
        else:
            runs.append([partition])
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
