"""Figures of the towers: λ by a streamer's visits, and what prefixes of the vectors keep."""

from __future__ import annotations

import numpy as np
import pytest

from tests.untrained import untrained
from training.evaluation.tower_diagnostics import TowerRecall, gates_of
from training.inference.served_model import Version


def test_gates_are_averaged_over_the_streamers_with_so_many_visits() -> None:
    version = Version(untrained("one", ["a", "b", "c"], "encoder/1", 8))
    visits_S = np.array([0, 5, 9, 2_000])
    gates = gates_of(version, ["stranger", "a", "b", "c"], visits_S)
    content_SD = np.ones((4, 8), np.float32)
    gate_S = version.embed_rooms(["stranger", "a", "b", "c"], content_SD, content_SD).content_gate_N
    assert [(one.low, one.streamers) for one in gates] == [(0, 1), (1, 2), (10, 0), (100, 0), (1_000, 1)]
    assert gates[0].mean == pytest.approx(gate_S[0])
    assert gates[1].mean == pytest.approx(gate_S[1:3].mean())
    assert gates[2].mean is None
    assert 0 < gates[4].mean < 1  # type: ignore[operator]


def test_a_prefix_that_holds_the_answer_keeps_all_recall_and_one_that_does_not_loses_it() -> None:
    rng = np.random.default_rng(0)
    recall = TowerRecall()
    for _ in range(200):
        vectors_NE = np.zeros((40, 64), np.float32)
        vectors_NE[:, :32] = rng.normal(size=(40, 32)) * 0.01
        vectors_NE[3, 20] = 1.0  # told by dimension 20: the first 16 know nothing of it
        viewer_E = np.zeros(64, np.float32)
        viewer_E[:16], viewer_E[20] = rng.normal(size=16), 10.0
        recall.add(viewer_E, vectors_NE, entered=3, viewer=0)
    towers = recall.figures([])
    assert towers.visits == 200
    assert towers.recall[32] == towers.recall[64] == 1
    assert towers.recall[16] < 0.6


def test_rooms_that_all_stand_equal_are_no_hit() -> None:
    recall = TowerRecall()
    recall.add(np.zeros(64, np.float32), np.ones((40, 64), np.float32), entered=0, viewer=0)
    assert set(recall.figures([]).recall.values()) == {0}


def test_the_interval_of_recall_is_wider_where_each_viewers_visits_are_alike() -> None:
    """Of 100 hits and 100 misses by 200 viewers, or by 20 who only hit or miss."""
    widths = []
    for viewers in (200, 20):
        recall = TowerRecall()
        for visit in range(200):
            vectors_NE = np.zeros((40, 64), np.float32)
            vectors_NE[:, 0] = range(40)
            recall.add(np.ones(64, np.float32), vectors_NE, entered=39 if visit % 2 else 0, viewer=visit % viewers)
        whole = recall.figures([]).whole
        assert whole.mean == 0.5
        assert whole.low < 0.5 < whole.high
        widths.append(whole.high - whole.low)
    assert widths[0] == pytest.approx(2 * 1.96 * (0.25 / 200) ** 0.5, rel=0.15)
    assert widths[1] > 2.5 * widths[0]
