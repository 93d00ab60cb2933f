"""How well a head tells visits with an outcome from those without: AUC, calibration, share. Never fits anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
RESAMPLES = 1_000

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class HeadQuality:
    """A head's figures on V visits whose outcome is known, with and without it.

    auc: the probability that a visit with the outcome has the higher logit of two; .5 is chance. ece: expected
    calibration error, 0 to 1. share: of the visits, those with the outcome.
    """

    auc: float
    ece: float
    share: float


def head_quality(logit_V: Floats, outcome_V: Floats) -> HeadQuality | None:
    """The figures of a head. outcome_V: 1 or 0, NaN where nobody knows. None: all that are known are the same."""
    known_V = np.isfinite(outcome_V)
    logit_K, had_K = logit_V[known_V].astype(np.float64), outcome_V[known_V] > 0
    if not had_K.any() or had_K.all():
        return None
    return HeadQuality(auc(logit_K, had_K), _ece(1 / (1 + np.exp(-logit_K)), had_K), float(had_K.mean()))


def auc(logit_K: Floats, had_K: NDArray[np.bool_]) -> float:
    """The area under the ROC curve, by ranks (Mann and Whitney); equal logits count half. Both outcomes must occur."""
    _, place_K, count_U = np.unique(logit_K, return_inverse=True, return_counts=True)
    rank_K = (np.cumsum(count_U) - (count_U - 1) / 2)[place_K]
    having = int(had_K.sum())
    return float((rank_K[had_K].sum() - having * (having + 1) / 2) / (having * (len(had_K) - having)))


def auc_interval(
    logit_K: Floats, had_K: NDArray[np.bool_], viewer_K: NDArray[np.integer], seed: int
) -> tuple[float, float]:
    """The 95 % interval of the AUC, viewers resampled. Both outcomes must occur."""

    def of_draw(chosen_D: NDArray[np.intp]) -> float | None:
        drawn_D = had_K[chosen_D]
        return None if drawn_D.all() or not drawn_D.any() else auc(logit_K[chosen_D], drawn_D)

    return resampled(viewer_K, seed, of_draw)


def resampled(
    viewer_K: NDArray[np.integer], seed: int, figure: Callable[[NDArray[np.intp]], float | None]
) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of a figure of visits. Viewers are drawn: one viewer's visits are alike.

    figure: of the visits at some places; None for a draw that has none, which counts not at all.
    """
    rng, order_K = np.random.default_rng(seed), np.argsort(viewer_K, kind="stable")
    visits = np.split(order_K, np.flatnonzero(np.diff(viewer_K[order_K])) + 1)
    drawn = [
        figure(np.concatenate([visits[one] for one in rng.integers(0, len(visits), len(visits))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile([one for one in drawn if one is not None], [2.5, 97.5])
    return float(low), float(high)


def head_metrics(outcomes: Mapping[str, tuple[Floats, Floats]]) -> dict[str, float]:
    """The figures of heads by name, each from its logits and outcomes [V], as a manifest keeps them."""
    metrics: dict[str, float] = {}
    for head, (logit_V, outcome_V) in outcomes.items():
        quality = head_quality(logit_V, outcome_V)
        if quality is not None:
            metrics |= {f"{head}_auc": quality.auc, f"{head}_ece": quality.ece, f"{head}_share": quality.share}
    return metrics


def _ece(probability_K: Floats, had_K: NDArray[np.bool_]) -> float:
    order_K = np.argsort(probability_K, kind="stable")
    parts = np.array_split(order_K, min(BINS, len(order_K)))
    errors = [abs(float(probability_K[part].mean() - had_K[part].mean())) * len(part) for part in parts]
    return sum(errors) / len(order_K)
