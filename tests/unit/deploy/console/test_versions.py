"""Tests of deploy.console.versions: which versions are offered, and what the gate said."""

from __future__ import annotations

from deploy.console.versions import can_roll_back, gate, version_rows
from deploy.http.routes.models import ListedVersion, ListedVersions
from deploy.http.status import Post, SystemStatus

METRICS = {f"m{at}": at / 3 for at in range(6)}


def listed(*states: str) -> ListedVersions:
    versions = [
        ListedVersion(version=f"m{at}", state=state, at_ms=1_000 + at, metrics=METRICS)  # type: ignore[arg-type]
        for at, state in enumerate(states)
    ]
    v0 = ListedVersion(version="v0", state="before" if "live" in states else "live", at_ms=0, metrics={})
    return ListedVersions(answers="m0", versions=[*versions, v0])


def status(**detail: object) -> SystemStatus:
    post = Post(name="trainer", rank=0, pid=1, node="n", at_ms=1, detail=detail)
    return SystemStatus(at_ms=1, processes=[post])


def test_what_may_go_live_is_offered() -> None:
    rows = {row["version"]: row for row in version_rows(listed("live", "candidate", "retired", "before"))}
    assert {name for name, row in rows.items() if row["offered"]} == {"m1", "m3", "v0"}
    assert rows["m0"]["tone"] == "good"
    assert rows["m0"]["metrics"] == "m0 0, m1 0.3333, m2 0.6667, m3 1"
    assert "m5 1.66667" in rows["m0"]["all"]
    assert rows["v0"]["since"] == "always"


def test_only_a_model_is_rolled_back() -> None:
    assert can_roll_back(listed("live"))
    assert not can_roll_back(listed("candidate"))


def test_the_gates_verdict_is_that_of_the_last_run() -> None:
    assert gate(SystemStatus(at_ms=1, processes=[])) is None
    begins = gate(status(doing="learning: 3/9", outcome=""))
    assert begins is not None
    assert (begins.value, begins.under) == ("no version yet", "the Trainer: learning: 3/9")
    for outcome, words, tone in (
        ("live", "m9 passed", "good"),
        ("refused", "m9 refused", "warn"),
        ("failed", "m9 the run failed", "warn"),
    ):
        found = gate(status(version="m9", outcome=outcome, reason="why"))
        assert found is not None
        assert (found.value, found.under, found.tone) == (words, "why", tone)
