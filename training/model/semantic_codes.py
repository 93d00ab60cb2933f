"""Semantic codes: residual k-means over vectors, with code numbers that stay. Never knows whose vectors they are.

Level 1 is the nearest centroid, level 2 the nearest to what is left, and so on, as in LARM (arXiv 2504.05217, section
3.3) and RQ-VAE (arXiv 2203.01941), but by k-means alone: nothing to train and nothing to collapse. A centroid that few
vectors choose is moved to where the error is largest. A refresh starts from the centroids in force; a rebuild, which
turns the space, matches its numbers to the old ones by the rooms that both gave a code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streaming.errors import ConfigError
from streaming.section import Count, Section

Floats = NDArray[np.float32]
Codes = NDArray[np.int16]

BLOCK = 16_384  # vectors compared with all centroids at a time: 4 MB at 64 centroids


@dataclass(frozen=True, slots=True)
class CodesConfig(Section):
    """Settings of the codes: levels, codes per level (size), rounds of k-means, seed."""

    section: ClassVar[str] = "codes"

    levels: Annotated[int, Meta(ge=1, le=8)] = 3
    size: Annotated[int, Meta(ge=2, le=32_767)] = 32
    rounds: Count = 25
    seed: int = 7


@dataclass(frozen=True, slots=True)
class CodeFigures:
    """Figures of how well codes spread, per level; collision is that of all levels together."""

    coverage: tuple[float, ...]  # share of the codes that are used
    entropy: tuple[float, ...]  # of the codes' use, as a share of the largest possible
    collision: float  # probability that two vectors drawn at random have the same codes at all levels
    error: float  # mean squared length of what no level explains, as a share of the vectors'


class Codebooks:
    """L levels of K centroids, float32 [L, K, D], which assign codes to vectors. Frozen."""

    def __init__(self, centroids_LKD: Floats) -> None:
        self.centroids_LKD = np.ascontiguousarray(centroids_LKD, np.float32)
        self._half_LK = 0.5 * np.einsum("lkd,lkd->lk", self.centroids_LKD, self.centroids_LKD)

    def assign(self, vectors_ND: Floats) -> Codes:
        """Codes of N vectors, int16 [N, L]: the nearest centroid at each level. NaN counts as zero."""
        codes_NL = np.zeros((len(vectors_ND), len(self.centroids_LKD)), np.int16)
        for start in range(0, len(vectors_ND), BLOCK):
            rest_ND = np.nan_to_num(vectors_ND[start : start + BLOCK]).astype(np.float32)
            for level, (centroids_KD, half_K) in enumerate(zip(self.centroids_LKD, self._half_LK, strict=True)):
                code_N = np.argmax(rest_ND @ centroids_KD.T - half_K, axis=1)
                codes_NL[start : start + BLOCK, level] = code_N
                rest_ND = rest_ND - centroids_KD[code_N]
        return codes_NL

    def figures(self, vectors_ND: Floats) -> CodeFigures:
        """The figures of these vectors' codes."""
        codes_NL = self.assign(vectors_ND)
        size = self.centroids_LKD.shape[1]
        used_LK = np.stack([np.bincount(codes_N, minlength=size) for codes_N in codes_NL.T])
        share_LK = used_LK / max(len(codes_NL), 1)
        nats_L = -(share_LK * np.log(np.maximum(share_LK, 1e-12))).sum(1)
        _, times_U = np.unique(codes_NL, axis=0, return_counts=True)
        pairs = max(len(codes_NL) * (len(codes_NL) - 1), 1)
        rest_ND = vectors_ND - sum(self.centroids_LKD[level][codes_NL[:, level]] for level in range(codes_NL.shape[1]))
        return CodeFigures(
            coverage=tuple((used_LK > 0).mean(1).tolist()),
            entropy=tuple((nats_L / math.log(size)).tolist()),
            collision=float((times_U * (times_U - 1)).sum() / pairs),
            error=float((rest_ND**2).sum() / max((vectors_ND**2).sum(), 1e-12)),
        )


def fit_codebooks(vectors_ND: Floats, config: CodesConfig, previous: Codebooks | None = None) -> Codebooks:
    """Codebooks fitted to vectors. previous: those to start from, so that code numbers keep their meaning.

    Raises ConfigError: `previous` has another shape.
    """
    rng = np.random.default_rng(config.seed)
    rest_ND = np.ascontiguousarray(vectors_ND, np.float32)
    shape = (config.levels, config.size, vectors_ND.shape[1])
    if previous is not None and previous.centroids_LKD.shape != shape:
        raise ConfigError(
            f"codes of shape {shape} cannot continue those of shape {previous.centroids_LKD.shape}; rebuild instead"
        )
    levels = []
    for level in range(config.levels):
        start_KD = previous.centroids_LKD[level] if previous is not None else _spread(rest_ND, config.size, rng)
        centroids_KD, code_N = _k_means(rest_ND, start_KD, config.rounds)
        levels.append(centroids_KD)
        rest_ND = rest_ND - centroids_KD[code_N]
    return Codebooks(np.stack(levels))


def keep_numbers(new: Codebooks, new_vectors_ND: Floats, old_codes_NL: Codes) -> Codebooks:
    """The codebooks `new`, renumbered so that as many of N rooms as possible keep their number, per level."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  .2 s, and who serves reads this module too

    codes_NL = new.assign(new_vectors_ND)
    size = new.centroids_LKD.shape[1]
    levels = []
    for level, centroids_KD in enumerate(new.centroids_LKD):
        both_KK = np.zeros((size, size))  # rooms with old number i and new number j
        np.add.at(both_KK, (old_codes_NL[:, level], codes_NL[:, level]), 1.0)
        levels.append(centroids_KD[linear_sum_assignment(both_KK, maximize=True)[1]])
    return Codebooks(np.stack(levels))


def _k_means(vectors_ND: Floats, centroids_KD: Floats, rounds: int) -> tuple[Floats, NDArray[np.intp]]:
    centroids_KD = centroids_KD.copy()
    for _ in range(rounds):
        code_N, error_N = _nearest(vectors_ND, centroids_KD)
        used_K = np.bincount(code_N, minlength=len(centroids_KD))
        alive_K = used_K > 0
        starts = (np.cumsum(used_K) - used_K)[alive_K]
        by_code_ND = vectors_ND[np.argsort(code_N, kind="stable")]
        sums_KD = np.stack([part_ND.sum(0) for part_ND in np.split(by_code_ND, starts[1:])])  # reduceat takes longer
        centroids_KD[alive_K] = sums_KD / used_K[alive_K, None]
        dead = np.flatnonzero(~alive_K)
        worst = np.argsort(-error_N, kind="stable")[: len(dead)]
        centroids_KD[dead[: len(worst)]] = vectors_ND[worst]  # where a centroid of one's own removes the most error
    return centroids_KD, _nearest(vectors_ND, centroids_KD)[0]


def _nearest(vectors_ND: Floats, centroids_KD: Floats) -> tuple[NDArray[np.intp], Floats]:
    code_N = np.zeros(len(vectors_ND), np.intp)
    error_N = np.zeros(len(vectors_ND), np.float32)
    half_K = 0.5 * (centroids_KD**2).sum(1)
    for start in range(0, len(vectors_ND), BLOCK):
        block_ND = vectors_ND[start : start + BLOCK]
        near_NK = block_ND @ centroids_KD.T - half_K
        nearest_N = code_N[start : start + BLOCK] = near_NK.argmax(1)
        error_N[start : start + BLOCK] = (block_ND**2).sum(1) - 2 * near_NK[np.arange(len(block_ND)), nearest_N]
    return code_N, error_N


def _spread(vectors_ND: Floats, size: int, rng: np.random.Generator) -> Floats:
    """k-means++ (Arthur and Vassilvitskii 2007): each start is drawn by its squared distance to those before it."""
    chosen_KD = np.empty((size, vectors_ND.shape[1]), np.float32)
    chosen_KD[0] = vectors_ND[rng.integers(len(vectors_ND))]
    far_N = ((vectors_ND - chosen_KD[0]) ** 2).sum(1).astype(np.float64)
    for k in range(1, size):
        total = far_N.sum()
        drawn = rng.choice(len(vectors_ND), p=far_N / total) if total > 0 else rng.integers(len(vectors_ND))
        chosen_KD[k] = vectors_ND[drawn]
        far_N = np.minimum(far_N, ((vectors_ND - chosen_KD[k]) ** 2).sum(1))
    return chosen_KD
