"""The models' versions as rows of a table, and what the promotion gate said last. Never asks for them."""

from __future__ import annotations

import time
from typing import Any

from deploy.console.health import Reading, Tone
from deploy.console.shown_text import NAME, shown
from deploy.http.status import SystemStatus
from tidecast_client import ListedVersions

SHOWN_METRICS = 4
TONES: dict[str, Tone] = {"live": "good", "candidate": "warn"}
PUT_LIVE = ("candidate", "before")  # whose files are there, and which a person may put live


def version_rows(listed: ListedVersions) -> tuple[dict[str, Any], ...]:
    """A row per version, the newest record first."""
    return tuple(
        {
            "id": one.version,
            "version": shown(one.version, NAME),
            "state": one.state,
            "tone": TONES.get(one.state, ""),
            "since": time.strftime("%d %b %H:%M:%S", time.localtime(one.at_ms / 1000)) if one.at_ms else "always",
            "metrics": ", ".join(f"{shown(name, 40)} {value:.4g}" for name, value in _first(one.metrics)),
            "all": "\n".join(f"{shown(name, 40)} {value:.6g}" for name, value in one.metrics.items()),
            "offered": one.state in PUT_LIVE,
        }
        for one in listed.versions
    )


def can_roll_back(listed: ListedVersions) -> bool:
    """Whether a model is live: v0 has nothing before it."""
    return any(one.state == "live" and one.at_ms and one.version != "v0" for one in listed.versions)


def gate(status: SystemStatus) -> Reading | None:
    """What the Trainer does, and what the gate said of its last version; None where there is no Trainer."""
    said = next((post.detail for post in status.processes if post.name == "trainer"), None)
    if said is None:
        return None
    outcome, doing = str(said.get("outcome") or ""), str(said.get("doing") or "waiting")
    if not outcome:
        return Reading("no version yet", f"the Trainer: {shown(doing)}")
    tone: Tone = "good" if outcome == "live" else "warn"
    version = shown(str(said.get("version") or ""), NAME)
    verdict = {"live": "passed", "refused": "refused", "failed": "the run failed"}.get(outcome, outcome)
    return Reading(f"{version} {verdict}".strip(), f"{shown(str(said.get('reason') or ''), 300)}", tone)


def _first(metrics: dict[str, float]) -> list[tuple[str, float]]:
    return list(metrics.items())[:SHOWN_METRICS]
