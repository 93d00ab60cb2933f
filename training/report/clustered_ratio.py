"""Ratios of sums over viewers with intervals, and differences of two. Never looks at an event.

Impressions of one viewer are alike, so the viewer is the unit that is drawn, and a figure per impression is a ratio of
two means over viewers. Its variance is that of the delta method: Deng, Knoblich and Lu, Applying the Delta Method in
Metric Analytics, KDD 2018; it is that of a ratio estimator in Cochran, Sampling Techniques, 1977, chapter 6. To count
impressions as if they were independent is too sure of itself: `python -m tests.bench.alarms` prints by how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # of a normal distribution within 95 %
LEAST_VIEWERS = 2  # one has no variance

Sums = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio with its standard error. value: NaN where nothing was counted; error: NaN of fewer than 2 viewers."""

    value: float
    error: float
    viewers: int

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval, not below 0: nothing counted here is negative."""
        low = self.value - Z * self.error
        return 0.0 if low < 0 else low

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.value + Z * self.error


@dataclass(frozen=True, slots=True)
class Difference:
    """A ratio less another one's, of other viewers. p: two-sided, of a difference so large where there is none."""

    value: float
    error: float
    p: float

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return self.value - Z * self.error

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.value + Z * self.error


def ratio(counted_V: Sums, per_V: Sums) -> Ratio:
    """The sum of counted_V by that of per_V. Both: of each of V viewers, float64 [V]."""
    viewers, below = len(per_V), float(per_V.sum())
    if not below:
        return Ratio(math.nan, math.nan, viewers)
    value = float(counted_V.sum()) / below
    if viewers < LEAST_VIEWERS:
        return Ratio(value, math.nan, viewers)
    residual_V = counted_V - value * per_V
    variance = viewers / (viewers - 1) * float(residual_V @ residual_V) / below**2
    return Ratio(value, math.sqrt(variance), viewers)


def difference(ratio_: Ratio, of: Ratio) -> Difference:
    """How much larger ratio_ is than `of`; their viewers are others. All NaN where one has no standard error."""
    value, error = ratio_.value - of.value, math.hypot(ratio_.error, of.error)
    if math.isnan(error):
        return Difference(value, error, math.nan)
    if not error:
        return Difference(value, error, 1.0 if not value else 0.0)
    return Difference(value, error, math.erfc(abs(value) / error / math.sqrt(2)))
