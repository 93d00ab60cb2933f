"""Candidate sets drawn at random, in which viewers return to the streamers that they visited: something to learn."""

from __future__ import annotations

import numpy as np

from training.features.features import COLUMN, FEATURES
from training.model.batches import CandidateSets, ContentTable, VisitSequences

STREAMERS = 12
D_CONTENT = 24


def random_candidate_sets(num: int, seed: int = 1, most_rooms: int = 9, visits: int = 6) -> CandidateSets:
    """`num` candidate sets of two to `most_rooms` rooms. Features are noise, except own_visits: those of the past."""
    rng = np.random.default_rng(seed)
    size_V = rng.integers(2, most_rooms + 1, num).astype(np.int32)
    length_V = rng.integers(0, visits + 1, num).astype(np.int16)
    there_VT = np.arange(visits) >= visits - length_V[:, None]
    past_VT = np.where(there_VT, rng.integers(1, STREAMERS + 1, (num, visits)), 0).astype(np.int32)
    live = [rng.permutation(np.arange(1, STREAMERS + 1))[:size] for size in size_V]
    counts = [
        np.array([np.count_nonzero(past == streamer) for streamer in rooms])
        for past, rooms in zip(past_VT, live, strict=True)
    ]
    features_RF = rng.gamma(1.0, 10.0, (int(size_V.sum()), len(FEATURES))).astype(np.float32)
    own_R = np.concatenate(counts)
    features_RF[:, COLUMN["own_visits"]] = own_R
    for name in ("own_visit_age_s", "own_silence_s", "own_overdue", "own_recency"):
        features_RF[own_R == 0, COLUMN[name]] = np.nan
    for name in FEATURES:
        if name.endswith(("_share", "_rank")):
            features_RF[:, COLUMN[name]] = rng.random(len(features_RF))
    now_KD = rng.normal(size=(40, D_CONTENT)).astype(np.float16)
    now_KD[0] = 0
    mean_LD = rng.normal(size=(30, D_CONTENT)).astype(np.float16)
    mean_LD[0] = 0
    R = len(features_RF)
    return CandidateSets(
        at_ms_V=np.sort(rng.integers(1, 10**9, num)),
        viewer_V=rng.integers(0, 50, num),
        size_V=size_V,
        entered_V=np.array([int(np.argmax(count + 0.5 * rng.random(len(count)))) for count in counts], np.int32),
        kind_V=np.where(length_V == 0, 0, 2).astype(np.int8),
        stay_s_V=rng.exponential(60, num).astype(np.float32),
        interacted_V=rng.random(num) < 0.3,
        left_V=rng.choice(np.array([0, 1, np.nan], np.float32), num),
        features_RF=features_RF,
        streamer_R=np.concatenate(live).astype(np.int32),
        now_R=rng.integers(0, 40, R).astype(np.int32),
        mean_R=rng.integers(0, 30, R).astype(np.int32),
        labels_R2=rng.integers(0, 4, (R, 2)).astype(np.int32),
        shown_R=rng.random(R) < 0.2,
        log_q_R=np.zeros(R, np.float32),
        pasts=VisitSequences(
            streamer_VT=past_VT,
            action_VT=np.where(there_VT, rng.integers(0, 3, past_VT.shape), 0).astype(np.int8),
            dwell_s_VT=rng.exponential(300, past_VT.shape).astype(np.float32),
            gap_s_VT=rng.exponential(3_000, past_VT.shape).astype(np.float32),
            since_same_s_VT=np.where(rng.random(past_VT.shape) < 0.5, -1, 5_000).astype(np.float32),
            now_VT=np.where(there_VT, rng.integers(0, 40, past_VT.shape), 0).astype(np.int32),
            mean_VT=np.where(there_VT, rng.integers(0, 30, past_VT.shape), 0).astype(np.int32),
            labels_VT2=np.where(there_VT[..., None], rng.integers(0, 4, (*past_VT.shape, 2)), 0).astype(np.int32),
            length_V=length_V,
        ),
        contents=ContentTable(now_KD, mean_LD),
    )
