"""Made-up versions of the models, and what the gate said of the last one, for the console's pages. No test is here."""

from __future__ import annotations

from deploy.http.routes.models import ListedVersion

VERSIONS = (
    ListedVersion(version="m1796143900", state="candidate", at_ms=1_796_143_930_000, metrics={"gain": -0.002}),
    ListedVersion(
        version="m1796143850",
        state="live",
        at_ms=1_796_143_880_000,
        metrics={"gain": 0.031, "low": 0.012, "recall_20": 0.412, "ndcg_20": 0.301, "visits": 18_204.0},
    ),
    ListedVersion(
        version="m1796143790", state="before", at_ms=1_796_143_820_000, metrics={"gain": 0.018, "low": 0.004}
    ),
    ListedVersion(version="v0", state="before", at_ms=0, metrics={}),
)
GATE = "the candidate is no better than m1796143850: -0.002, 95 % interval -0.011 to 0.006"
