"""Whether viewers are divided among variants as they should be: a chi-square test. Never assigns one.

Where they are not, something loses viewers of one variant (a crash, a filter, a redirect), and no figure of the
experiment can be believed: Fabijan et al., Diagnosing Sample Ratio Mismatch in Online Controlled Experiments, KDD
2019. They, too, warn below a p of .001 or less: the check is made for every report, and must not cry wolf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WARN_BELOW = 0.001


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The result of the check. p: of counts so uneven where viewers are divided by the weights."""

    chi_square: float
    p: float

    @property
    def mismatch(self) -> bool:
        """Whether the counts cannot be believed to come from the weights."""
        return self.p < WARN_BELOW


def sample_ratio(viewers: Sequence[int], weights: Sequence[float]) -> SampleRatio:
    """The check of numbers of viewers against weights, both by variant; all weights are above 0."""
    total, whole = sum(viewers), sum(weights)
    if not total or len(viewers) < 2:
        return SampleRatio(0.0, 1.0)
    expected = [total * weight / whole for weight in weights]
    chi_square = sum((seen - due) ** 2 / due for seen, due in zip(viewers, expected, strict=True))
    return SampleRatio(chi_square, chi_square_above(chi_square, len(viewers) - 1))


def chi_square_above(value: float, freedom: int) -> float:
    """The probability that chi-square of so many degrees of freedom is at least `value`.

    The closed forms of whole and half orders: Abramowitz and Stegun, 26.4.4 and 26.4.5.
    """
    if value <= 0:
        return 1.0
    half = value / 2
    if freedom % 2:
        found, order = math.erfc(math.sqrt(half)), 0.5
    else:
        found, order = math.exp(-half), 1.0
    while order < freedom / 2:  # Q(a + 1, x) = Q(a, x) + x^a e^-x / Γ(a + 1)
        found += math.exp(order * math.log(half) - half - math.lgamma(order + 1))
        order += 1
    return min(found, 1.0)
