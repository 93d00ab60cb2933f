"""Training examples in flat arrays: viewers' past visits and candidate sets. Never computes an example.

A candidate set is the rooms that were live at one visit, of which one was entered. V candidate sets have R rows in
all, one per room. Strings are numbers here: a streamer is its row in the embedding (0: unknown), content is its row in
a table of vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STAY_S = 60.0  # shorter is looking in
LEAVE_S = 10.0  # who leaves within it has left at once; the default of training.leave_s
UNKNOWN_S = np.float32(np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class VisitSequences:
    """Past visits of V viewers: up to T each, oldest first, the newest at T − 1, with padding before them.

    gap_s: to the next visit, at the last to the visit to be predicted. since_same_s: from the visit before it to the
    same streamer, −1 for none. Rows of content are those at the time of the past visit.
    """

    streamer_VT: NDArray[np.int32]  # row, 0 for unknown and for padding
    action_VT: NDArray[np.int8]  # 0 entered, 1 chatted, 2 liked, gifted or followed
    dwell_s_VT: NDArray[np.float32]
    gap_s_VT: NDArray[np.float32]
    since_same_s_VT: NDArray[np.float32]
    now_VT: NDArray[np.int32]
    mean_VT: NDArray[np.int32]
    labels_VT2: NDArray[np.int32]  # language and category, training/content/declared_labels.py
    length_V: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class ContentTable:
    """The vectors that rows of content point to. now_KD: of one time; mean_LD: slow means. Zeros or NaN: no content."""

    now_KD: NDArray[np.floating]
    mean_LD: NDArray[np.floating]

    @cached_property
    def has_now_K(self) -> NDArray[np.bool_]:  # noqa: N802  a shape
        """Whether each row of now_KD has content, bool [K]."""
        return _any(self.now_KD)

    @cached_property
    def has_mean_L(self) -> NDArray[np.bool_]:  # noqa: N802  a shape
        """Whether each row of mean_LD has content, bool [L]."""
        return _any(self.mean_LD)


@dataclass(frozen=True, eq=False)
class ProjectedContent:
    """A content table after the room tower's projection, once that no longer learns: a sixth of the numbers."""

    contents: ContentTable
    now_KE: NDArray[np.float32]
    mean_LE: NDArray[np.float32]  # with the bias
    static_LE: NDArray[np.float32]  # of the slow mean in both places


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSets:
    """V candidate sets with R rows in all: features, content, labels, and which room was entered."""

    at_ms_V: NDArray[np.int64]
    viewer_V: NDArray[np.int64]  # a number a viewer
    size_V: NDArray[np.int32]
    entered_V: NDArray[np.int32]  # place in the candidate set
    kind_V: NDArray[np.int8]
    stay_s_V: NDArray[np.float32]  # NaN where nobody knows
    interacted_V: NDArray[np.bool_]
    left_V: NDArray[np.float32]  # 1 left at once, 0 did not, NaN where nobody knows
    features_RF: NDArray[np.float32]
    streamer_R: NDArray[np.int32]
    now_R: NDArray[np.int32]
    mean_R: NDArray[np.int32]
    labels_R2: NDArray[np.int32]
    shown_R: NDArray[np.bool_]  # shown to the viewer just before, and not entered
    log_q_R: NDArray[np.float32]  # log of the probability that the room is in the candidate set, 0 where it always is
    pasts: VisitSequences
    contents: ContentTable

    def __len__(self) -> int:
        return len(self.size_V)

    def starts(self) -> NDArray[np.int64]:
        """The first row of each candidate set, int64 [V]."""
        return np.cumsum(self.size_V, dtype=np.int64) - self.size_V

    def after(self, place: int) -> CandidateSets:
        """The candidate sets from a place on, without a copy."""
        return self.between(place, len(self))

    def between(self, first: int, end: int) -> CandidateSets:
        """The candidate sets first ≤ place < end, without a copy."""
        start_V = np.append(self.starts(), len(self.features_RF))
        return self._at(slice(first, end), slice(int(start_V[first]), int(start_V[end])))

    def taken(self, chosen_B: NDArray[np.intp]) -> CandidateSets:
        """The chosen candidate sets, in that order, as copies."""
        return self._at(chosen_B, candidate_rows(self, chosen_B))

    def _at(self, visits: slice | NDArray[np.intp], rows: slice | NDArray[np.int64]) -> CandidateSets:
        by_visit = ("at_ms_V", "viewer_V", "size_V", "entered_V", "kind_V", "stay_s_V", "interacted_V", "left_V")
        by_row = ("features_RF", "streamer_R", "now_R", "mean_R", "labels_R2", "shown_R", "log_q_R")
        pasts = VisitSequences(*(getattr(self.pasts, field.name)[visits] for field in fields(VisitSequences)))
        return replace(
            self,
            **{name: getattr(self, name)[visits] for name in by_visit},
            **{name: getattr(self, name)[rows] for name in by_row},
            pasts=pasts,
        )


@dataclass(frozen=True, slots=True)
class RoomContent:
    """Content of N rooms: either raw (now_ND and mean_ND), or projected (both_NE and static_NE)."""

    has_N1: Tensor
    now_ND: Tensor | None = None
    mean_ND: Tensor | None = None
    both_NE: Tensor | None = None
    static_NE: Tensor | None = None


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """A batch of B candidate sets, R rows, as tensors: the ranker's inputs and targets.

    seg_R: the candidate set of each row; target_B: the row that was entered.
    """

    seg_R: Tensor
    place_R: Tensor  # in its candidate set
    target_B: Tensor
    entered_B: Tensor
    features_RF: Tensor
    shown_R: Tensor
    log_q_R: Tensor
    stay_B: Tensor  # 1 stayed, 0 left, NaN where nobody knows
    interacted_B: Tensor
    left_B: Tensor  # 1 left at once, 0 did not, NaN where nobody knows

    def __len__(self) -> int:
        return len(self.target_B)

    def padded(self, value_R: Tensor, fill: float) -> Tensor:
        """Values of the rows as a matrix [B, N], with `fill` where a candidate set has no row."""
        padded_BN = value_R.new_full((len(self), int(self.place_R.max()) + 1), fill)
        return padded_BN.index_put((self.seg_R, self.place_R), value_R)


@dataclass(frozen=True, slots=True)
class TrainingBatch(CandidateBatch):
    """A batch of candidate sets with the towers' inputs as well: content, and the viewers' past visits."""

    streamer_R: Tensor
    labels_R2: Tensor
    content: RoomContent  # of the R rows
    past_streamer_BT: Tensor
    past_labels_BT2: Tensor
    past_action_BT: Tensor
    past_dwell_s_BT: Tensor
    past_gap_s_BT: Tensor
    past_since_same_s_BT: Tensor
    past_mask_BT: Tensor
    past_content: RoomContent  # of the visits that are there, row by row of the mask
    hour_B: Tensor


def candidate_rows(candidate_sets: CandidateSets, chosen_B: NDArray[np.intp]) -> NDArray[np.int64]:
    """Rows of the chosen candidate sets, int64 [R], one set after the other."""
    size_B = candidate_sets.size_V[chosen_B].astype(np.int64)
    first_B = np.cumsum(size_B) - size_B
    row_R: NDArray[np.int64] = np.arange(int(size_B.sum())) + np.repeat(
        candidate_sets.starts()[chosen_B] - first_B, size_B
    )
    return row_R


def candidate_batch(candidate_sets: CandidateSets, chosen_B: NDArray[np.intp]) -> CandidateBatch:
    """The chosen candidate sets as a batch, in that order."""
    return CandidateBatch(**_choices(candidate_sets, chosen_B, candidate_rows(candidate_sets, chosen_B)))


def training_batch(
    candidate_sets: CandidateSets,
    chosen_B: NDArray[np.intp],
    most_visits: int,
    projected: ProjectedContent | None = None,
) -> TrainingBatch:
    """The chosen candidate sets as a batch, in that order, with at most `most_visits` newest past visits each."""
    row_R = candidate_rows(candidate_sets, chosen_B)
    length_B = np.minimum(candidate_sets.pasts.length_V[chosen_B].astype(np.int64), most_visits)
    T = max(int(length_B.max(initial=1)), 1)
    wide = [field.name for field in fields(VisitSequences) if field.name != "length_V"]
    past = {name: getattr(candidate_sets.pasts, name)[chosen_B, -T:] for name in wide}
    mask_BT = np.arange(T) >= T - length_B[:, None]
    arrays = {
        "streamer_R": candidate_sets.streamer_R[row_R].astype(np.int64),
        "labels_R2": candidate_sets.labels_R2[row_R],
        "past_labels_BT2": past["labels_VT2"],
        "past_streamer_BT": past["streamer_VT"].astype(np.int64),
        "past_action_BT": past["action_VT"].astype(np.int64),
        "past_dwell_s_BT": past["dwell_s_VT"],
        "past_gap_s_BT": past["gap_s_VT"],
        "past_since_same_s_BT": past["since_same_s_VT"],
        "past_mask_BT": mask_BT,
        "hour_B": (candidate_sets.at_ms_V[chosen_B] / 3.6e6 % 24).astype(np.float32),
    }
    fetch = _Fetch(candidate_sets.contents, projected)
    return TrainingBatch(
        **_choices(candidate_sets, chosen_B, row_R),
        **_tensors(arrays),
        content=fetch(candidate_sets.now_R[row_R], candidate_sets.mean_R[row_R]),
        past_content=fetch(past["now_VT"][mask_BT], past["mean_VT"][mask_BT]),
    )


def _choices(candidate_sets: CandidateSets, chosen_B: NDArray[np.intp], row_R: NDArray[np.int64]) -> dict[str, Tensor]:
    size_B = candidate_sets.size_V[chosen_B].astype(np.int64)
    first_B = np.cumsum(size_B) - size_B
    seg_R = np.repeat(np.arange(len(chosen_B)), size_B)
    stay_s_B = candidate_sets.stay_s_V[chosen_B]
    return _tensors(
        {
            "seg_R": seg_R,
            "place_R": np.arange(len(seg_R)) - first_B[seg_R],
            "target_B": first_B + candidate_sets.entered_V[chosen_B],
            "entered_B": candidate_sets.entered_V[chosen_B].astype(np.int64),
            "features_RF": candidate_sets.features_RF[row_R],
            "shown_R": candidate_sets.shown_R[row_R],
            "log_q_R": candidate_sets.log_q_R[row_R],
            "stay_B": np.where(np.isnan(stay_s_B), np.nan, stay_s_B >= STAY_S).astype(np.float32),
            "interacted_B": candidate_sets.interacted_V[chosen_B].astype(np.float32),
            "left_B": candidate_sets.left_V[chosen_B],
        }
    )


def _tensors(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


@dataclass(frozen=True, slots=True)
class _Fetch:
    contents: ContentTable
    projected: ProjectedContent | None

    def __call__(self, now_N: NDArray[np.int32], mean_N: NDArray[np.int32]) -> RoomContent:
        has_N1 = torch.from_numpy((self.contents.has_now_K[now_N] | self.contents.has_mean_L[mean_N])[:, None])
        if self.projected is None:
            raw = (self.contents.now_KD[now_N], self.contents.mean_LD[mean_N])
            now_ND, mean_ND = (torch.from_numpy(np.nan_to_num(some_ND.astype(np.float32))) for some_ND in raw)
            return RoomContent(has_N1, now_ND, mean_ND)
        both_NE = self.projected.now_KE[now_N]
        both_NE += self.projected.mean_LE[mean_N]
        return RoomContent(
            has_N1, both_NE=torch.from_numpy(both_NE), static_NE=torch.from_numpy(self.projected.static_LE[mean_N])
        )


def _any(table_KD: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether each row has a number other than zero, bool [K]. NaN, which stands for no content, does not count."""
    has_K: NDArray[np.bool_] = (np.nan_to_num(table_KD) != 0).any(axis=1)
    return has_K
