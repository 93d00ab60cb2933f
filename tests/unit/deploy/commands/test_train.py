"""What `tidecast train` says of the version that it has made. Trains nothing."""

from __future__ import annotations

from typing import Any

from deploy.commands.train import report_of

WRITTEN: dict[str, Any] = {
    "version": "m1", "parent": "v0", "visits": 1_000, "streamers": 20, "ece": 0.02, "ece_before": 0.03,
    "path": "out", "state": "written",
}  # fmt: skip


def test_heads_are_said_with_their_figures_and_left_out_where_nothing_is_known_of_them() -> None:
    measured = {"leave_auc": 0.7312, "leave_ece": 0.0417, "leave_share": 0.38}
    said = report_of({**WRITTEN, **measured}).splitlines()
    assert said[2] == "leave on visits not learned from: AUC 0.731, error of the probabilities 0.0417, share 0.380"
    assert not any(line.startswith(("stay", "interact")) for line in said)
    assert len(report_of(WRITTEN).splitlines()) == len(said) - 1
