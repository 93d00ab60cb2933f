"""Version 0's score on slates, for the gate: from what examples hold of viewers' pasts. Never learns.

As actors/score.py scores, with what differs because a slate holds less: shares of categories and languages and the mean
content come from the visits of the slate's past, of which a profile may have more; of a visit's signs of life only the
strongest is known; a streamer who was followed counts no more than one who was not; a language that was guessed counts
as none; the largest is that of the slate's rooms; and content counts as it is instead of in fewer directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from streaming.activity import MAX_ARRIVALS
from training.features import COLUMN
from training.labels import UNKNOWN, label
from training.model_config import FRESH_HALF_LIFE_S
from training.slates import Slates

Floats = NDArray[np.float32]

WEIGHTS: Mapping[str, float] = MappingProxyType(  # actors/weights.py's, held equal by a test
    {
        "visited": 9.0,
        "content": 2.0,
        "category": 6.0,
        "language": 3.0,
        "arrivals": 3.2,
        "trending": 2.2,
        "crowd": 0.5,
        "rising": 0.7,
        "fresh": 0.1,
    }
)
LABELS = ("language", "category")  # in the order of training/labels.py
BROAD, BROAD_WEIGHT = label("Just Chatting"), 0.2  # says little of what a room was about
VISIT_HALF_LIFE_S = 6 * 3_600.0
DAY_S, FORGETTING = 86_400.0, 0.1  # of habits
MINUTE_OF_TEN_SECONDS, FASTEST, ALONE, SMALL = 6, 1.5, 6, np.log1p(10)  # of crowds, as actors/pools.py has them


def zero_scores(slates: Slates) -> NDArray[np.float64]:
    """[R]."""
    column = {name: slates.features_RF[:, index].astype(np.float64) for name, index in COLUMN.items()}
    score_R = _of_habits(column) + _of_crowds(column, slates.starts())
    weight_VT = _visit_weights(slates)
    for place, start in enumerate(slates.starts().tolist()):
        length = int(slates.pasts.length_V[place])
        if length:
            rows = slice(start, start + int(slates.size_V[place]))
            weight_T = weight_VT[place, -length:]
            score_R[rows] += WEIGHTS["content"] * np.maximum(_alike(slates, place, rows, weight_T), 0)
            score_R[rows] += _liked(slates.pasts.labels_VT2[place, -length:], slates.labels_R2[rows], weight_T)
    return score_R


def _of_habits(column: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """[R]: of where the viewer goes, and where those go who were last where the viewer was."""
    visits_R, ago_R = column["own_visits"], np.nan_to_num(column["own_silence_s"]) / DAY_S
    visited_R = visits_R / (visits_R + 1) * (1 + np.maximum(ago_R, 0)) ** -FORGETTING
    arrivals_R = np.log1p(column["arrivals_600s"]) / np.log1p(MAX_ARRIVALS)
    score_R: NDArray[np.float64] = WEIGHTS["visited"] * visited_R + WEIGHTS["arrivals"] * arrivals_R
    return score_R


def _of_crowds(column: Mapping[str, NDArray[np.float64]], starts_V: NDArray[np.intp]) -> NDArray[np.float64]:
    """[R]: what is the same for every viewer. The largest is that of the slate."""
    now_R, minute_R = MINUTE_OF_TEN_SECONDS * column["messages_10s"], column["messages_60s"]
    heat_R = column["newcomers_60s"] + 0.2 * column["newcomers_600s"]
    heat_R = heat_R + 0.2 * (column["entries_60s"] + 0.2 * column["entries_600s"])
    score_R = WEIGHTS["trending"] * _logarithmic(heat_R, starts_V)
    score_R += WEIGHTS["crowd"] * _logarithmic(np.nan_to_num(column["audience"]) + now_R, starts_V)
    beyond_R = np.maximum(now_R - MINUTE_OF_TEN_SECONDS * ALONE, 0)
    score_R += WEIGHTS["rising"] * np.clip((np.log1p(beyond_R) - np.log1p(minute_R)) / FASTEST, 0, 1)
    score_R += WEIGHTS["fresh"] * np.exp2(-np.maximum(column["room_age_s"], 0) / FRESH_HALF_LIFE_S)
    return score_R


def _logarithmic(value_R: NDArray[np.float64], starts_V: NDArray[np.intp]) -> NDArray[np.float64]:
    log_R = np.log1p(value_R)
    largest_V = np.maximum(np.maximum.reduceat(log_R, starts_V), SMALL)
    share_R: NDArray[np.float64] = log_R / np.repeat(largest_V, np.diff(np.r_[starts_V, len(log_R)]))
    return share_R


def _visit_weights(slates: Slates) -> Floats:
    """[V, T]: a visit counts more that was long, or in which the viewer spoke, and half of it every six hours."""
    pasts = slates.pasts
    there_VT = np.arange(pasts.gap_s_VT.shape[1]) >= pasts.gap_s_VT.shape[1] - pasts.length_V[:, None]
    ago_VT = np.cumsum((pasts.gap_s_VT * there_VT)[:, ::-1], axis=1)[:, ::-1] - pasts.dwell_s_VT
    newest_V1 = np.where(there_VT, ago_VT, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    since_VT = np.maximum(ago_VT - np.where(np.isfinite(newest_V1), newest_V1, 0), 0)
    weight_VT = 1 + 0.2 * np.log1p(pasts.dwell_s_VT / 60) + 0.06 * (pasts.action_VT > 0)
    found_VT: Floats = (weight_VT * np.exp2(-since_VT / VISIT_HALF_LIFE_S) * there_VT).astype(np.float32)
    return found_VT


def _alike(slates: Slates, place: int, rows: slice, weight_T: Floats) -> Floats:
    """[N]: cosine of the weighted mean of the visited rooms' content and each room's."""
    now_KD = slates.contents.now_KD
    visited_TD = np.nan_to_num(now_KD[slates.pasts.now_VT[place, -len(weight_T) :]].astype(np.float32))
    rooms_ND = np.nan_to_num(now_KD[slates.now_R[rows]].astype(np.float32))
    mean_D = weight_T @ visited_TD
    lengths_N = np.linalg.norm(rooms_ND, axis=1) * np.linalg.norm(mean_D)
    cosine_N: Floats = rooms_ND @ mean_D / np.maximum(lengths_N, np.float32(1e-12))
    return cosine_N


def _liked(past_T2: NDArray[np.int32], rooms_N2: NDArray[np.int32], weight_T: Floats) -> Floats:
    """[N]: weighted roots of the shares of the rooms' languages and categories among the visits, 1 = the largest.

    Of a room of which nobody says it, the mean of the others.
    """
    liked_N = np.zeros(len(rooms_N2), np.float32)
    for which, name in enumerate(LABELS):
        labels, number_T = np.unique(past_T2[:, which], return_inverse=True)
        sums_L = np.bincount(number_T, weight_T)
        sums_L[labels == BROAD] *= BROAD_WEIGHT
        share_L = np.where(labels != UNKNOWN, np.sqrt(sums_L / sums_L.max()), 0)
        place_N = np.minimum(np.searchsorted(labels, rooms_N2[:, which]), len(labels) - 1)
        share_N = share_L[place_N] * (labels[place_N] == rooms_N2[:, which])
        told_N = rooms_N2[:, which] != UNKNOWN
        liked_N += WEIGHTS[name] * np.where(told_N, share_N, share_N.sum() / max(int(told_N.sum()), 1))
    return liked_N
