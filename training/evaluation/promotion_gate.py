"""The promotion gate: judges whether a version may go live, on visits that it did not learn from. Never publishes.

Candidate, live version and baseline ranker rank all live rooms at the same visits. The candidate passes if its NDCG@10
is not below either's by more than chance explains: the 95 % interval of the difference, resampled by viewer, reaches
zero. This must hold on all visits, on those of viewers new to the room, and on those of new viewers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.errors import VersionError
from training.evaluation.logged_baseline import own_room_last, zero_scores
from training.evaluation.version_on_sets import VersionOnSets
from training.features.visit_kinds import VisitKind
from training.inference.served_model import Version
from training.model.batches import CandidateSets
from training.registry.bundle import Bundle
from training.registry.manifest import V0
from training.registry.registry import GateVerdict
from training.settings import Baseline

RESAMPLES = 500
LEAST_VISITS = 20  # per group; fewer are not judged
MOST_VISITS = 5_000  # judged; more only take time
GROUPS: Mapping[str, tuple[VisitKind, ...]] = {
    "all": (VisitKind.COLD, VisitKind.NEW, VisitKind.REPEAT),
    "new": (VisitKind.NEW,),
    "cold": (VisitKind.COLD,),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of the candidate's NDCG@10 to another's: the mean, and its 95 % interval."""

    mean: float
    low: float
    high: float


class SliceGate:
    """A `PromotionGate` (training/registry/registry.py) on candidate sets that were not learned from.

    streamers[i] has row i + 1 in them.
    """

    def __init__(self, unseen: CandidateSets, streamers: Sequence[str], baseline: Baseline, seed: int = 7) -> None:
        """unseen: the newest MOST_VISITS are used. baseline: its settings where the version will serve."""
        place = max(0, len(unseen) - MOST_VISITS)
        self._sets = unseen.after(place)
        self._names = ["", *streamers]
        self._baseline, self._seed = baseline, seed

    def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
        """Judges a candidate. Raises VersionError: it is not a model of this build.

        It does not pass where the live version reads another encoder: these visits have vectors of the candidate's.
        If the live version is not one either, as after an upgrade, no replica answers by it, and only v0 is compared.
        """
        if len(self._sets) < LEAST_VISITS:
            return GateVerdict(
                False, f"only {len(self._sets)} visits that it did not learn from: too few to judge it by"
            )
        gain_V = self._gain(self._scores(Version(candidate)))
        reads = candidate.manifest.encoder_version
        if live is not None and live.manifest.encoder_version != reads:
            return GateVerdict(
                False,
                f"the live version reads {live.manifest.encoder_version}, this one {reads}, so no visit judges both; "
                f"`tidecast models promote {candidate.manifest.version}` puts it live by hand",
            )
        metrics = {f"ndcg10_{name}": float(gain_V[mask_V].mean()) for name, mask_V in self._groups().items()}
        others = {V0: self._gain(zero_scores(self._sets, self._baseline))}
        unreadable = ""
        if live is not None:
            try:
                others[live.manifest.version] = self._gain(self._scores(Version(live)))
            except VersionError as err:
                unreadable = f"; what is live was not asked: {err}"
        worse = []
        for other, other_V in others.items():
            for name, mask_V in self._groups().items():
                difference = self._difference(gain_V[mask_V] - other_V[mask_V], self._sets.viewer_V[mask_V])
                metrics[f"{name}_against_{other}"] = difference.mean
                if difference.high < 0:
                    worse.append(
                        f"NDCG@10 on {name} is {-difference.mean:.4f} below that of {other} "
                        f"(95 %: {-difference.high:.4f} to {-difference.low:.4f}; {int(mask_V.sum()):,} visits)"
                    )
        if worse:
            return GateVerdict(False, "; ".join(worse) + unreadable, metrics)
        against = " and ".join(others)
        reason = f"not worse than {against} on {len(self._sets):,} visits it did not learn from{unreadable}"
        return GateVerdict(True, reason, metrics)

    def _groups(self) -> dict[str, NDArray[np.bool_]]:
        masks = {name: np.isin(self._sets.kind_V, kinds) for name, kinds in GROUPS.items()}
        return {name: mask_V for name, mask_V in masks.items() if int(mask_V.sum()) >= LEAST_VISITS}

    def _difference(self, difference_V: NDArray[np.float64], viewer_V: NDArray[np.int64]) -> Difference:
        _, number_V = np.unique(viewer_V, return_inverse=True)
        sums_W = np.bincount(number_V, difference_V)
        counts_W = np.bincount(number_V)
        rng = np.random.default_rng(self._seed)
        drawn_SW = rng.integers(len(sums_W), size=(RESAMPLES, len(sums_W)))
        means_S = sums_W[drawn_SW].sum(1) / counts_W[drawn_SW].sum(1)
        low, high = np.quantile(means_S, (0.025, 0.975))
        return Difference(float(difference_V.mean()), float(low), float(high))

    def _gain(self, score_R: NDArray[np.float64]) -> NDArray[np.float64]:
        """NDCG@10 of each visit, float64 [V], as answers have it: without the room that the viewer is in."""
        return ndcg(own_room_last(score_R, self._sets), self._sets)

    def _scores(self, version: Version) -> NDArray[np.float64]:
        """The version's scores of all candidates, as it would serve, float64 [R]."""
        return VersionOnSets(version, self._sets, self._names).scores()


def ndcg(score_R: NDArray[np.float64], sets: CandidateSets) -> NDArray[np.float64]:
    """NDCG@10 of the room entered among its candidate set, float64 [V]; ties count half."""
    start_V, seg_R = sets.starts(), np.repeat(np.arange(len(sets)), sets.size_V)
    entered_R = score_R[start_V + sets.entered_V][seg_R]
    above_V = np.bincount(seg_R, score_R > entered_R, len(sets))
    equal_V = np.bincount(seg_R, score_R == entered_R, len(sets)) - 1
    rank_V = 1 + above_V + equal_V / 2
    return np.where(rank_V <= 10, 1 / np.log2(1 + rank_V), 0.0)
