"""A version of the models made by hand, with real arithmetic and no training. Never a good one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.content.declared_labels import LABELS
from training.features.features import VIEWER_FEATURES
from training.inference.causes import CAUSES, CROWD, MEMORY, OTHERS
from training.inference.interface import (
    RankedRooms,
    RequestCandidates,
    RoomEmbeddings,
    RoomsToExplain,
    ServedViewer,
    ViewerPast,
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FakeViewer:
    """The mean of the rooms visited."""

    vector_E: Floats


class FakeVersion:
    """Aligns by a random matrix, knows each streamer by the hash of its name, prefers rooms visited and alike."""

    def __init__(
        self,
        name: str,
        d_content: int = 8,
        *,
        encoder_version: str = "test",
        ranks: bool = True,
        dimension: int = 4,
        hidden: int = 3,
        leaves: bool = False,
    ) -> None:
        """leaves: it has a head for leaving at once."""
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.name, self.encoder_version, self.d_content, self.ranks = name, encoder_version, d_content, ranks
        self._project_DE = rng.normal(size=(2 * d_content, dimension)).astype(np.float32)
        self._embedding_KE = rng.normal(size=(997, dimension)).astype(np.float32)
        self.max_visits = 30
        self._prepare_CH: Floats | None = None
        self._hidden = hidden
        self._leaves = leaves
        self._rng = rng
        self.embedded = 0  # rooms, since it was made

    def embed_rooms(
        self, streamers: Sequence[str], now_ND: Floats, mean_ND: Floats, labels_N2: NDArray[np.int32] | None = None
    ) -> RoomEmbeddings:
        self.embedded += len(streamers)
        content_NE = np.concatenate([np.nan_to_num(now_ND), mean_ND], axis=1) @ self._project_DE
        content_NE /= np.maximum(np.linalg.norm(content_NE, axis=1, keepdims=True), 1e-6)
        rows_N = np.array([zlib.crc32(streamer.encode()) % 997 for streamer in streamers], np.int64)
        content_gate_N = np.where(np.isnan(now_ND[:, 0]), 0, 0.5).astype(np.float32)
        vectors_NE = content_gate_N[:, None] * content_NE + (1 - content_gate_N)[:, None] * self._embedding_KE[rows_N]
        vectors_NE /= np.maximum(np.linalg.norm(vectors_NE, axis=1, keepdims=True), 1e-6)
        codes_NL = np.stack([np.argmax(vectors_NE, axis=1), np.argmin(vectors_NE, axis=1)], axis=1).astype(np.int16)
        labels_N2 = np.zeros((len(rows_N), LABELS), np.int32) if labels_N2 is None else labels_N2
        return RoomEmbeddings(
            rows_N.astype(np.int32),
            vectors_NE,
            content_NE.astype(np.float32),
            content_gate_N,
            codes_NL,
            codes_NL,
            labels_N2,
        )

    def viewer(self, past: ViewerPast | None) -> FakeViewer:
        if past is None:
            return FakeViewer(np.zeros(self._project_DE.shape[1], np.float32))
        return FakeViewer(past.rooms.vectors_NE.mean(axis=0))

    def prepare(self, room_features_NC: Floats, rooms: RoomEmbeddings) -> Floats:
        if self._prepare_CH is None:
            self._prepare_CH = (
                self._rng.normal(size=(room_features_NC.shape[1], self._hidden)).astype(np.float32) * 1e-3
            )
        return np.log1p(np.nan_to_num(room_features_NC)) @ self._prepare_CH

    def log_odds_drops(
        self, viewer: ServedViewer, offered: RequestCandidates, ranked: RankedRooms, rooms: RoomsToExplain
    ) -> Floats:
        places_K = rooms.places_K
        fall_KC = np.zeros((len(places_K), len(CAUSES)), np.float32)
        dot_N = offered.rooms.vectors_NE[offered.slots_N] @ viewer.vector_E
        crowd_N = offered.prepared_SH[offered.slots_N].sum(axis=1)
        fall_KC[:, MEMORY] = 2 * offered.viewer_features_NP[places_K, VIEWER_FEATURES.index("own_visits")]
        fall_KC[:, OTHERS] = dot_N[places_K] - dot_N.mean()
        fall_KC[:, CROWD] = rooms.is_drawing_K * (crowd_N[places_K] - crowd_N.mean())
        return fall_KC

    def rank(self, viewer: ServedViewer, offered: RequestCandidates) -> RankedRooms:
        dot_N = offered.rooms.vectors_NE[offered.slots_N] @ viewer.vector_E
        visits_N = offered.viewer_features_NP[:, VIEWER_FEATURES.index("own_visits")]
        logits_N = -3 + 2 * visits_N + dot_N + offered.prepared_SH[offered.slots_N].sum(axis=1)
        enter_N = (1 / (1 + np.exp(-logits_N))).astype(np.float32)
        return RankedRooms(enter_N, enter_N / 2, enter_N / 4, np.sqrt(enter_N) if self._leaves else None)


class Broken(FakeVersion):
    """Fails at one of its calls, or gives what is not a number."""

    def __init__(self, name: str, at: str) -> None:
        super().__init__(name)
        self._at = at

    def embed_rooms(
        self, streamers: Sequence[str], now_ND: Floats, mean_ND: Floats, labels_N2: NDArray[np.int32] | None = None
    ) -> RoomEmbeddings:
        if self._at == "embed":
            raise ValueError("shapes (3,) and (4,) not aligned")
        return super().embed_rooms(streamers, now_ND, mean_ND, labels_N2)

    def rank(self, viewer: ServedViewer, offered: RequestCandidates) -> RankedRooms:
        ranked = super().rank(viewer, offered)
        if self._at == "rank":
            raise IndexError("feature 99 is out of bounds")
        return RankedRooms(ranked.enter_N * np.float32(np.nan), ranked.stay_N, ranked.interact_N)
