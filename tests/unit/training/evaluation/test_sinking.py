"""Tests of the replay of rooms that sink: by what was shown before, never by what is entered now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluation.logged_baseline import Sinking, SinkingZero
from training.features.features import COLUMN
from training.recorded.recorded_visits import RecordedVisits
from training.settings import Baseline

ROOMS = 4
ZERO = [3.0, 2.0, 1.0, 0.0]  # the baseline's scores of the four rooms, at every visit


class Zero:
    """Scores every visit alike."""

    def score(self, visits: Any) -> NDArray[np.float64]:
        return np.tile(np.array(ZERO), len(visits.viewer_V))


def visits(*asked: tuple[int, float, list[float]]) -> RecordedVisits:
    """Visits of a viewer at a time in s, with how long ago each room was entered, NaN for never."""
    features_RF = np.zeros((ROOMS * len(asked), len(COLUMN)), np.float32)
    features_RF[:, COLUMN["own_visit_age_s"]] = [age for _, _, ages in asked for age in ages]
    size_V = np.full(len(asked), ROOMS)
    sets = SimpleNamespace(features_RF=features_RF, size_V=size_V, starts=lambda: np.arange(len(asked)) * ROOMS)
    found = SimpleNamespace(
        sets=sets,
        viewer_V=np.array([viewer for viewer, _, _ in asked]),
        at_us_V=np.array([int(at_s * 1e6) for _, at_s, _ in asked]),
        channel_R=np.tile(np.arange(ROOMS, dtype=np.int32), len(asked)),
    )
    return cast("RecordedVisits", found)


def ranker(**changes: Any) -> SinkingZero:
    return SinkingZero("sinking", cast("Any", Zero()), Sinking(**{"cost": 1.0, "most": 2.0, "page": 2, **changes}))


NEVER = [float("nan")] * ROOMS


def test_what_was_on_the_page_and_not_entered_sinks_and_half_of_it_is_back_after_the_half_life() -> None:
    scores = ranker().score(visits((1, 0, NEVER), (1, 0, NEVER), (2, 0, NEVER), (1, 600, NEVER)))
    assert scores.reshape(-1, ROOMS)[0].tolist() == ZERO
    assert scores.reshape(-1, ROOMS)[1].tolist() == [2, 1, 1, 0]
    assert scores.reshape(-1, ROOMS)[2].tolist() == ZERO  # another viewer
    assert scores.reshape(-1, ROOMS)[3] == pytest.approx([2, 1, 1, 0])


def test_what_was_entered_since_does_not_sink_and_what_is_entered_now_is_not_known() -> None:
    entered = [99.0, float("nan"), float("nan"), 99.0]
    one = ranker()
    one.score(visits((1, 0, NEVER)))
    assert one.score(visits((1, 100, [100.0, *NEVER[1:]])))[:2] == pytest.approx([3, 2 - 0.5 ** (1 / 6)])
    other = ranker()
    assert other.score(visits((1, 100, entered))).tolist() == ZERO
    assert other.score(visits((1, 100, entered))).tolist() == [2, 1, 1, 0]  # entered before it was shown


def test_it_sinks_no_further_than_to_the_most() -> None:
    one = ranker(page=ROOMS)
    for _ in range(5):
        last = one.score(visits((1, 0, NEVER)))
    assert last == pytest.approx([score - 2 for score in ZERO])


def test_it_is_built_on_the_baseline() -> None:
    built = SinkingZero.of(Baseline(), Sinking(), "name")
    assert built.name == "name"
    assert (built.sinking.cost, built.sinking.half_life_s, built.sinking.most, built.sinking.page) == (
        0.5,
        600,
        1.5,
        20,
    )
