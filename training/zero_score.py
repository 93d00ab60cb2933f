"""Version 0's score on slates, for the gate: from what examples hold of viewers' pasts. Never learns.

As actors/score.py scores, with what differs because a slate holds less: shares of categories and languages and the mean
content come from the visits of the slate's past, of which a profile may have more; of a visit's signs of life only the
strongest is known; a language that was guessed counts as none; crowds are measured against a fixed number instead of
the largest room's (training/ranker.py), and content as it is instead of in fewer directions.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from training.features import COLUMN
from training.labels import label
from training.model_config import WEIGHTS
from training.ranker import terms
from training.slates import Slates

Floats = NDArray[np.float32]

LABEL_WEIGHTS = WEIGHTS[5:]  # of language and category, in the order of training/labels.py
BROAD, BROAD_WEIGHT = label("Just Chatting"), 0.2  # says little of what a room was about
VISIT_HALF_LIFE_S = 6 * 3_600.0


def zero_scores(slates: Slates) -> NDArray[np.float64]:
    """[R]."""
    column = {name: torch.from_numpy(slates.features_RF[:, index]) for name, index in COLUMN.items()}
    alike_R, liked_R = np.zeros((2, len(slates.features_RF)), np.float32)
    weight_VT = _visit_weights(slates)
    for place, start in enumerate(slates.starts().tolist()):
        length = int(slates.pasts.length_V[place])
        if length:
            rows = slice(start, start + int(slates.size_V[place]))
            weight_T = weight_VT[place, -length:]
            alike_R[rows] = _alike(slates, place, rows, weight_T)
            liked_R[rows] = _liked(slates.pasts.labels_VT2[place, -length:], slates.labels_R2[rows], weight_T)
    none_R = torch.zeros(len(alike_R))  # as below, by how much a visit counts
    score_R = (terms(column, torch.from_numpy(alike_R), none_R, none_R) @ torch.tensor(WEIGHTS)).numpy() + liked_R
    return score_R.astype(np.float64)


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
    """[N]: weighted roots of the shares of the rooms' languages and categories among the visits, 1 = the largest."""
    liked_N = np.zeros(len(rooms_N2), np.float32)
    for which, weight in enumerate(LABEL_WEIGHTS):
        labels, number_T = np.unique(past_T2[:, which], return_inverse=True)
        sums_L = np.bincount(number_T, weight_T)
        sums_L[labels == BROAD] *= BROAD_WEIGHT
        share_L = np.where(labels != 0, np.sqrt(sums_L / sums_L.max()), 0)
        place_N = np.minimum(np.searchsorted(labels, rooms_N2[:, which]), len(labels) - 1)
        liked_N += weight * share_L[place_N] * (labels[place_N] == rooms_N2[:, which])
    return liked_N
