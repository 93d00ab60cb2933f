"""Candidate sets from examples on disk, with rows of content and transition features. Never aggregates events.

Numbers of streamers and texts in the examples become rows of the model's vocabulary and of tables of vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.errors import TrainingError
from streaming.room.vectors import to_bytes, updated_mean
from training.content.content_vector import mix
from training.content.declared_labels import LABELS, UNKNOWN
from training.examples.co_visit_counts import TransitionCounts
from training.examples.dataset import Examples, ExampleSet, ExampleTexts
from training.features.features import COLUMN, FEATURES, SERVED
from training.model.batches import CandidateSets, ContentTable, VisitSequences
from training.model.config import LEARNED, TOTALS

COUNTED = (*LEARNED, *TOTALS)
TITLE = -1  # what stands in the place of a segment's number where the text is a title


@dataclass(frozen=True, slots=True)
class ContentRules:
    """Weights of a room's content vector: of the title, and of a segment in the slow mean, as RoomWorkers have them."""

    title_weight: float
    mean_alpha: float


class CandidateSetBuilder:
    """A builder of candidate sets from the examples of one set."""

    def __init__(
        self,
        examples: ExampleSet,
        vectors_KD: NDArray[np.float16],
        streamers: Sequence[str],
        rules: ContentRules,
        *,
        leave_s: float,
    ) -> None:
        """vectors_KD: of the set's K texts. streamers[i] has row i + 1. leave_s: who leaves within it left at once.

        Raises TrainingError: the examples have other features than this build computes.
        """
        if examples.features != SERVED:
            raise TrainingError(f"{examples.folder}: examples with other features than this build's; make them again")
        self._row_S, self._row_of_room = _rows(examples, streamers)
        self._vectors_KD, self._rules, self._leave_s = vectors_KD, rules, leave_s
        texts = examples.texts()
        self._mean_LD, self._mean_K = _means(texts, vectors_KD, rules.mean_alpha)
        self._labels_K2 = np.concatenate([texts.labels_K2, np.zeros((1, LABELS), np.int32)])  # −1 is the last

    def candidate_sets(self, examples: Examples, transitions_RM: NDArray[np.float32], max_visits: int) -> CandidateSets:
        """The candidate sets of examples. transitions_RM: from `TransitionPass`, of the same examples."""
        both = np.concatenate(
            [
                np.stack([examples.title_R, examples.segment_R], 1),
                np.stack([examples.past_title_P, examples.past_segment_P], 1),
            ]
        )
        pairs, now = np.unique(both, axis=0, return_inverse=True)
        R = len(examples.room_R)
        start_P = np.cumsum(examples.past_V) - examples.past_V
        streamer_P = self._row_S[examples.past_streamer_P]
        return CandidateSets(
            at_ms_V=examples.at_ms_V,
            viewer_V=examples.viewer_V,
            size_V=examples.size_V,
            entered_V=examples.entered_V,
            kind_V=examples.kind_V,
            stay_s_V=np.where(np.isnan(examples.stay_s_V), examples.heard_s_V, examples.stay_s_V),
            interacted_V=examples.acts_V > 0,
            left_V=left_at_once(examples, self._leave_s),
            features_RF=_features(examples, transitions_RM),
            streamer_R=self.rows(examples),
            now_R=now.reshape(-1)[:R].astype(np.int32),
            mean_R=self._mean_K[examples.segment_R],
            labels_R2=self._labels_K2[examples.title_R],
            shown_R=examples.shown_R,
            log_q_R=examples.log_q_R,
            pasts=_pasts(
                examples,
                streamer_P=streamer_P,
                now_P=now.reshape(-1)[R:],
                mean_K=self._mean_K,
                labels_K2=self._labels_K2,
                start_P=start_P,
                T=max_visits,
            ),
            contents=ContentTable(self._now(pairs), self._mean_LD),
        )

    def rows(self, examples: Examples) -> NDArray[np.int32]:
        """Rows of the candidates' streamers, int32 [R]."""
        return self._row_of_room[examples.room_R]

    def _now(self, pairs: NDArray[np.int32]) -> NDArray[np.float16]:
        """Content vectors [K, D] of pairs of a title and a segment, each −1 for none; NaN where there is neither."""
        none_1D = np.zeros((1, self._vectors_KD.shape[1]), np.float16)
        vectors_KD = np.concatenate([self._vectors_KD, none_1D])  # −1 is the last
        mixed_KD = mix(vectors_KD[pairs[:, 0]], vectors_KD[pairs[:, 1]], self._rules.title_weight)
        return mixed_KD.astype(np.float16)


def left_at_once(examples: Examples, leave_s: float) -> NDArray[np.float32]:
    """Whether each viewer left within leave_s, float32 [V]: 1 or 0, NaN where nobody knows.

    It is known only where all of these seconds could be seen: neither the room nor the log ended in them, whatever the
    viewer did, because otherwise short visits would be known more often than long ones. A viewer who was silent from
    then on has left at an unknown time.
    """
    longest_s_V = np.where(np.isnan(examples.stay_s_V), examples.heard_s_V, examples.stay_s_V)
    left_V = np.where(longest_s_V > leave_s, 0, np.where(np.isnan(examples.stay_s_V), np.nan, 1)).astype(np.float32)
    left_V[examples.seen_s_V < leave_s] = np.nan
    return left_V


class TransitionPass:
    """A pass that computes transition features and totals as of each visit. It takes shards in their order."""

    def __init__(self, examples: ExampleSet, streamers: Sequence[str]) -> None:
        """streamers[i] has row i + 1."""
        self._row_S, self._row_of_room = _rows(examples, streamers)
        self.counts = TransitionCounts()

    def columns(self, examples: Examples) -> NDArray[np.float32]:
        """Features of the next shard's rooms, float32 [R, M], columns as COUNTED."""
        transitions_RM = np.zeros((len(examples.room_R), len(COUNTED)), np.float32)
        rows = self._row_of_room[examples.room_R].tolist()
        pasts = self._row_S[examples.past_streamer_P].tolist()
        start_R = np.cumsum(examples.size_V) - examples.size_V
        start_P = np.cumsum(examples.past_V) - examples.past_V
        columns = (start_R, examples.size_V, start_P, examples.past_V, examples.entered_V)
        for start, size, past, visits, entered in zip(*(column.tolist() for column in columns), strict=True):
            before, there = pasts[past : past + visits], rows[start : start + size]
            if before:
                transitions_RM[start : start + size, : len(LEARNED)] = self.counts.columns(before, there)
            transitions_RM[start : start + size, len(LEARNED) :] = self.counts.totals(there)
            self.counts.visit(before, rows[start + entered])
        return transitions_RM


def _rows(examples: ExampleSet, streamers: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows of the set's streamers, and of its rooms' streamers; the latter end with a 0 (unknown) for room −1."""
    row = {streamer: number for number, streamer in enumerate(streamers, start=1)}
    row_S = np.array([row.get(streamer, 0) for streamer in examples.streamers] or [0], np.int32)
    return row_S, np.append(row_S[examples.streamer_of_room], np.int32(0))


def _features(examples: Examples, transitions_RM: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features [R, F], columns as FEATURES: those served and COUNTED."""
    features_RF = np.empty((len(transitions_RM), len(FEATURES)), np.float32)
    features_RF[:, : len(SERVED)] = examples.features_RF
    features_RF[:, [COLUMN[name] for name in COUNTED]] = transitions_RM
    return features_RF


def streamer_vocabulary(examples: ExampleSet, parent: Sequence[str] = ()) -> tuple[str, ...]:
    """The model's streamers: the parent version's, which keep their rows, then those entered since, by name."""
    entered = {
        int(examples.streamer_of_room[room])
        for shard in examples.shards()
        for room in shard.room_R[np.cumsum(shard.size_V) - shard.size_V + shard.entered_V].tolist()
        if room >= 0
    }
    new = {examples.streamers[streamer] for streamer in entered} - set(parent)
    return (*parent, *sorted(new))


def _means(
    texts: ExampleTexts, vectors_KD: NDArray[np.float16], alpha: float
) -> tuple[NDArray[np.float16], NDArray[np.int32]]:
    """The distinct slow means [L, D], the first one zeros, and for each text the row of the mean in force after it.

    The rows end with a 0, the zeros, for text −1.
    """
    means = [np.zeros(vectors_KD.shape[1], np.float16).tobytes()]
    row_K = np.zeros(len(texts.room_K) + 1, np.int32)
    of_room: dict[int, int] = {}
    for place, (room, segment, in_mean) in enumerate(
        zip(texts.room_K.tolist(), texts.segment_K.tolist(), texts.in_mean_K.tolist(), strict=True)
    ):
        if segment == TITLE:
            continue
        if in_mean:
            before = means[of_room[room]] if room in of_room else b""
            of_room[room] = len(means)
            means.append(updated_mean(before, to_bytes(vectors_KD[place]), alpha))
        row_K[place] = of_room.get(room, 0)
    return np.frombuffer(b"".join(means), "<f2").reshape(len(means), -1), row_K


def _pasts(
    examples: Examples,
    *,
    streamer_P: NDArray[np.int32],
    now_P: NDArray[np.intp],
    mean_K: NDArray[np.int32],
    labels_K2: NDArray[np.int32],
    start_P: NDArray[np.int64],
    T: int,
) -> VisitSequences:
    """Visit sequences with the newest T visits of each past, at the end of its row."""
    end_V = start_P + examples.past_V
    place_VT = end_V[:, None] - T + np.arange(T)
    there_VT = place_VT >= start_P[:, None]
    place_VT[~there_VT] = 0

    def filled(values_P: NDArray[np.generic], padding: float) -> NDArray[Any]:
        padded_P = np.append(values_P, np.zeros(1, values_P.dtype))  # there may be no past at all
        return np.where(there_VT, padded_P[place_VT], np.array(padding, values_P.dtype))

    return VisitSequences(
        streamer_VT=filled(streamer_P, 0).astype(np.int32),
        action_VT=filled(examples.past_action_P, 0).astype(np.int8),
        dwell_s_VT=filled(examples.past_dwell_s_P, 0).astype(np.float32),
        gap_s_VT=filled(examples.past_gap_s_P, 0).astype(np.float32),
        since_same_s_VT=filled(examples.past_since_same_s_P, -1).astype(np.float32),
        now_VT=filled(now_P, 0).astype(np.int32),
        mean_VT=filled(mean_K[examples.past_segment_P], 0).astype(np.int32),
        labels_VT2=np.stack([filled(of_P, UNKNOWN) for of_P in labels_K2[examples.past_title_P].T], axis=-1),
        length_V=there_VT.sum(1).astype(np.int16),
    )
