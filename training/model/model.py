"""The whole model: room tower, viewer tower, semantic codes, ranker, and what flows between them. Never trains it.

past visits ─► room tower ─► + codes ─► viewer tower ─► u ─┐
live rooms  ─► room tower ─► v, λ, codes ──────────────────┴─► u·v, matches, features ─► ranker ─► 3 logits
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from training.content.declared_labels import UNKNOWN
from training.features.features import FEATURES
from training.model.batches import ContentTable, ProjectedContent, RoomContent, TrainingBatch
from training.model.config import EXTRA, RANKED, STATISTICS, ModelConfig
from training.model.ranker import RankerNetwork, terms
from training.model.room_tower import RoomTower, RoomVectors
from training.model.semantic_codes import Codebooks
from training.model.viewer_tower import ViewerTower, Visits

DAY_S = 86_400.0
LENGTHS = (1, 3, 8)  # of pasts: those up to the same one go through the viewer tower together
LIKED = [[*EXTRA].index(name) for name in ("alike", "same_language", "same_category")]


@dataclass(frozen=True, slots=True)
class PastEmbeddings:
    """Embeddings of the past visits of B viewers, summed up for the ranker and the viewer tower."""

    item_BTE: Tensor  # vectors of the rooms visited, and embeddings of their codes
    codes_BTL: Tensor  # static, of the rooms visited; -1 where there is no visit
    labels_BT2: Tensor  # declared language and category of the rooms visited; 0 where unknown
    content_BE: Tensor  # mean of the rooms' content, unit length; zeros without any
    pooled_BE: Tensor  # mean of the codes' embeddings
    before_BE: Tensor  # vector of the room visited last
    length_B: Tensor

    def same(self, codes_RL: Tensor, seg_R: Tensor, levels: int) -> Tensor:
        """The share of the visits to rooms with the same codes at the first `levels` levels, 0 to 1, [R]."""
        same_RT = (self.codes_BTL[seg_R, :, :levels] == codes_RL[:, None, :levels]).all(-1)
        return same_RT.sum(1) / self.length_B[seg_R].clamp_min(1)

    def same_labels(self, labels_R2: Tensor, seg_R: Tensor) -> Tensor:
        """The shares of the visits to rooms of the same language and of the same category, 0 to 1, [R, 2]."""
        same_RT2 = (self.labels_BT2[seg_R] == labels_R2[:, None]) & (labels_R2[:, None] != UNKNOWN)
        return same_RT2.sum(1) / self.length_B[seg_R].clamp_min(1)[:, None]


@dataclass(frozen=True, slots=True)
class Scores:
    """The model's outputs for R rows of B candidate sets."""

    logit_R4: Tensor  # of the ranker
    tower_R: Tensor  # logit of the towers alone
    beside_R: Tensor  # the part of it that the rooms' statistics add
    viewer_BE: Tensor
    vector_RE: Tensor
    before_BE: Tensor  # vector of the room visited last; zeros for a viewer without a past
    extra_RX: Tensor


class Model(nn.Module):
    """The model: towers, semantic codes and ranker. Codes are off, all 0, until `set_codes`."""

    def __init__(self, config: ModelConfig, num_streamers: int, knots_FQ: NDArray[np.float32]) -> None:
        """num_streamers: those known, the cold row not counted. knots_FQ: rows as RANKED, then as EXTRA."""
        super().__init__()
        self.config = config
        E, codes = config.larm.d_model, config.codes
        self.rooms = RoomTower(config.larm, num_streamers)
        self.viewers = ViewerTower(config.viewer)
        self.stranger_E = nn.Parameter(torch.randn(E) * 0.02)  # the vector of a cold-start viewer
        self.sharpness = nn.Parameter(torch.tensor(2.0))  # exp of it multiplies u·v
        self.statistics = nn.Linear(len(STATISTICS), 1)
        self.code_LKE = nn.Parameter(torch.zeros(codes.levels, codes.size, E))
        self.centroids_LKE: Tensor
        self.register_buffer("centroids_LKE", torch.zeros(codes.levels, codes.size, E))
        self.coded = False
        self.ranker = RankerNetwork(config.ranker, RANKED, knots_FQ)
        self._columns = [list(FEATURES).index(name) for name in RANKED]
        nn.init.zeros_(self.statistics.weight)

    def set_codes(self, books: Codebooks) -> None:
        """Switches codes on, with the centroids of these codebooks."""
        self.centroids_LKE.copy_(torch.from_numpy(books.centroids_LKD))
        self.coded = True

    def forward(self, batch: TrainingBatch, *, towers_alone: bool = False) -> Scores:
        """The scores of a batch. towers_alone: the ranker is left out, and its logits are zeros."""
        rooms = self._rooms(batch.content, batch.streamer_R)
        past = self.past(batch)
        viewer_BE = self.viewer(batch, past)
        dot_R = (viewer_BE[batch.seg_R] * rooms.vector_NE).sum(-1)
        beside_R = self.beside(self._named(batch.features_RF[:, self._columns]))
        towers = (dot_R * torch.exp(self.sharpness) + beside_R, beside_R, viewer_BE, rooms.vector_NE, past.before_BE)
        if towers_alone:
            return Scores(dot_R.new_zeros(len(dot_R), 3), *towers, dot_R.new_zeros(len(dot_R), 0))
        extra_RX = self._extra(batch, past, rooms, dot_R)
        return Scores(self.rank(batch.features_RF, extra_RX), *towers, extra_RX)

    def extra(self, batch: TrainingBatch, past: PastEmbeddings, viewer_BE: Tensor) -> Tensor:
        """The ranker's extra inputs [R, X], columns as EXTRA. past, viewer_BE: from `past` and `viewer`."""
        rooms = self._rooms(batch.content, batch.streamer_R)
        return self._extra(batch, past, rooms, (viewer_BE[batch.seg_R] * rooms.vector_NE).sum(-1))

    def _extra(self, batch: TrainingBatch, past: PastEmbeddings, rooms: RoomVectors, dot_R: Tensor) -> Tensor:
        static_RL = self.codes(self._static(batch.content, batch.streamer_R))
        dynamic_RL = self.codes(rooms.vector_NE)
        seg_R = batch.seg_R
        same_language_R, same_category_R = past.same_labels(batch.labels_R2, seg_R).T
        extra = {
            "dot": dot_R,
            "gate": rooms.content_gate_N,
            "alike": (past.content_BE[seg_R] * rooms.content_NE).sum(-1),
            "same_1": past.same(static_RL, seg_R, 1),
            "same_2": past.same(static_RL, seg_R, 2),
            "same_now": past.same(dynamic_RL, seg_R, 1),
            "code_dot": (past.pooled_BE[seg_R] * self.embedded(static_RL)).sum(-1),
            "same_language": same_language_R,
            "same_category": same_category_R,
        }
        return torch.stack([extra[name] for name in EXTRA], 1)

    def rank(self, features_RF: Tensor, extra_RX: Tensor) -> Tensor:
        """The ranker's logits [R, 3]. Columns of features_RF as FEATURES, of extra_RX as EXTRA."""
        ranked_RF = features_RF[:, self._columns]
        terms_RK = terms(self._named(ranked_RF), *extra_RX[:, LIKED].T)
        logit_R4: Tensor = self.ranker(ranked_RF, extra_RX, terms_RK)
        return logit_R4

    def _named(self, ranked_RF: Tensor) -> dict[str, Tensor]:
        return {name: ranked_RF[:, index] for index, name in enumerate(RANKED)}

    def past(self, batch: TrainingBatch) -> PastEmbeddings:
        """Embeddings of the past visits of a batch, with the rooms as they were at the time."""
        mask_BT, row_P = batch.past_mask_BT, batch.past_streamer_BT[batch.past_mask_BT]
        rooms = self._rooms(batch.past_content, row_P)
        codes_PL = self.codes(self._static(batch.past_content, row_P) if self.coded else rooms.vector_NE)
        embedded_PE = self.embedded(codes_PL)
        item_BTE = _placed(rooms.vector_NE + embedded_PE, mask_BT, 0.0)
        content_BE = _placed(rooms.content_NE, mask_BT, 0.0).sum(1)
        length_B = mask_BT.sum(1)
        pooled_BE = _placed(embedded_PE, mask_BT, 0.0).sum(1) / length_B.clamp_min(1)[:, None]
        codes_BTL = _placed(codes_PL, mask_BT, -1)
        before_BE = _placed(rooms.vector_NE, mask_BT, 0.0)[:, -1]
        labels_BT2, content_BE = batch.past_labels_BT2, normalize(content_BE, dim=-1)
        return PastEmbeddings(item_BTE, codes_BTL, labels_BT2, content_BE, pooled_BE, before_BE, length_B)

    def _rooms(self, content: RoomContent, row_N: Tensor) -> RoomVectors:
        if content.both_NE is not None:
            return self.rooms.fuse(content.both_NE, content.has_N1, row_N)
        if content.now_ND is None or content.mean_ND is None:
            raise AssertionError("content is raw or projected")
        vectors: RoomVectors = self.rooms(content.now_ND, content.mean_ND, content.has_N1, row_N)
        return vectors

    def _static(self, content: RoomContent, row_N: Tensor) -> Tensor:
        """Vectors [N, E] of the rooms' slow means alone, from which static codes are made."""
        if content.static_NE is not None:
            return self.rooms.fuse(content.static_NE, content.has_N1, row_N).vector_NE
        slow = RoomContent(content.has_N1, content.mean_ND, content.mean_ND)
        return self._rooms(slow, row_N).vector_NE

    def project(self, contents: ContentTable) -> ProjectedContent:
        """The content table after the room tower's projection, as it is now."""
        now_ED, mean_ED = (half_ED.detach().numpy() for half_ED in self.rooms.halves())
        bias_E = self.rooms.bias().detach().numpy()
        mean_LD = self._adapted(contents.mean_LD)
        now_KE = self._adapted(contents.now_KD) @ now_ED.T
        return ProjectedContent(contents, now_KE, mean_LD @ mean_ED.T + bias_E, mean_LD @ (now_ED + mean_ED).T + bias_E)

    def _adapted(self, content_KD: NDArray[np.floating]) -> NDArray[np.float32]:
        """Content after the room tower's adapter, float32 [K, D]; zeros where there is none."""
        known_KD = np.nan_to_num(content_KD.astype(np.float32))
        with torch.no_grad():
            adapted_KD: NDArray[np.float32] = self.rooms.adapt(torch.from_numpy(known_KD)).numpy()
        return adapted_KD

    def viewer(self, batch: TrainingBatch, past: PastEmbeddings) -> Tensor:
        """The viewer tower's vectors [B, E]; the learned cold-start vector for viewers without past visits.

        The tower runs over viewers with pasts of like lengths together, and not over cold-start viewers: as one block
        most of a batch would be padding.
        """
        vector_BE = self.stranger_E.expand(len(past.length_B), -1)
        shorter = 0
        for longest in (*LENGTHS, past.item_BTE.shape[1]):
            of_P = torch.nonzero((past.length_B > shorter) & (past.length_B <= longest))[:, 0]
            shorter = longest
            if len(of_P):
                vector_BE = vector_BE.index_put((of_P,), self._of_past(batch, past, of_P, longest))
        return vector_BE

    def _of_past(self, batch: TrainingBatch, past: PastEmbeddings, of_P: Tensor, longest: int) -> Tensor:
        """Vectors [P, E] of the viewers of_P, whose pasts are not empty and not longer than `longest`."""
        item_BTE, gap_s_BT = past.item_BTE[of_P, -longest:], batch.past_gap_s_BT[of_P, -longest:]
        visits = Visits(
            item_BTE,
            batch.past_mask_BT[of_P, -longest:],
            action_BT=batch.past_action_BT[of_P, -longest:],
            dwell_s_BT=batch.past_dwell_s_BT[of_P, -longest:],
            gap_s_BT=gap_s_BT,
            since_same_s_BT=batch.past_since_same_s_BT[of_P, -longest:],
            hour_BT=batch.hour_B[of_P, None].expand_as(gap_s_BT),
        )
        return self.viewers.latest(visits)

    def codes(self, vector_NE: Tensor) -> Tensor:
        """Semantic codes of room embeddings, int64 [N, L], as `Codebooks.assign`; all 0 before there are codes."""
        codes_NL = torch.zeros(len(vector_NE), len(self.centroids_LKE), dtype=torch.int64, device=vector_NE.device)
        if not self.coded:
            return codes_NL
        rest_ND = vector_NE.detach()
        for level, centroids_KE in enumerate(self.centroids_LKE):
            codes_NL[:, level] = (rest_ND @ centroids_KE.T - 0.5 * (centroids_KE**2).sum(1)).argmax(1)
            rest_ND = rest_ND - centroids_KE[codes_NL[:, level]]
        return codes_NL

    def embedded(self, codes_NL: Tensor) -> Tensor:
        """Sums of the embeddings of each room's codes [N, E]; zeros before there are codes."""
        if not self.coded:
            return self.code_LKE.new_zeros(len(codes_NL), self.code_LKE.shape[-1])
        levels = torch.arange(codes_NL.shape[1], device=codes_NL.device)
        return self.code_LKE[levels, codes_NL].sum(1)

    def beside(self, column: dict[str, Tensor]) -> Tensor:
        """The part [R] of the towers' logit that the room's statistics add, as percentiles."""
        shares = [1 - column[name] for name in STATISTICS if name.endswith("_rank")]
        day_R = column["room_age_s"].clamp(1, DAY_S).log() / float(np.log(DAY_S))
        beside_R: Tensor = self.statistics(torch.stack((*shares, day_R), 1))[:, 0]
        return beside_R


def _placed(values_P: Tensor, mask_BT: Tensor, fill: float) -> Tensor:
    """Values of P visits laid out as [B, T, ...] by the mask, with `fill` elsewhere."""
    placed = values_P.new_full((*mask_BT.shape, *values_P.shape[1:]), fill)
    return placed.index_put((mask_BT,), values_P)
