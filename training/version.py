"""Owns a trained version as replicas use it: numpy over the arrays of a bundle. Never trains, never imports torch.

Equal to training/model.py within rounding, by a test. What depends on the rooms alone is computed a few times a second
for all of them (`prepare`), what depends on the viewer alone once a profile (`viewer`); a request computes the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streaming.errors import ConfigError, VersionError
from training.bundle import Bundle
from training.codes import Codebooks
from training.features import CROWD
from training.forward import RankerForward, RoomForward
from training.model_config import EXTRA, RANKED, TOTALS, ModelConfig
from training.serving import AlignedRooms, Offered, RankedRooms, ViewerPast
from training.transitions import NOWHERE, Trails, Transitions
from training.viewer_forward import History, ViewerForward

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class VersionViewer:
    """What a version makes of a viewer."""

    vector_E: Floats
    content_E: Floats  # mean of the visited rooms' content, unit length
    pooled_E: Floats  # mean of their codes' embeddings
    codes_VL: NDArray[np.int16]
    trails: Trails


class Version:
    """Frozen; any thread may call. As training/serving.py says."""

    ranks = True

    def __init__(self, bundle: Bundle) -> None:
        """Raises VersionError: the bundle is of another kind, or its arrays do not fit each other."""
        manifest = bundle.manifest
        self.name = manifest.version
        self.encoder_version = manifest.encoder_version
        self.d_content = manifest.d_content
        if manifest.features != RANKED:
            odd = sorted(set(manifest.features) ^ set(RANKED)) or ["their order"]
            raise VersionError(f"version {self.name} reads other features than this build computes: {', '.join(odd)}")
        try:
            config = msgspec.convert(manifest.config["model"], ModelConfig)
            arrays: Mapping[str, NDArray[Any]] = bundle.arrays
            self._rooms = RoomForward(config.larm, arrays)
            self._books = Codebooks(arrays["centroids_LKE"])
            self._code_LKE: Floats = arrays["code_LKE"]
            self._viewers = ViewerForward(config.viewer, arrays, "viewers.")
            self.max_visits = int(manifest.config["learn"]["visits"])
            zeros_E, none_0L = np.zeros_like(arrays["stranger_E"]), np.zeros((0, len(self._code_LKE)), np.int16)
            self._stranger = VersionViewer(arrays["stranger_E"], zeros_E, zeros_E, none_0L, NOWHERE)
            self._ranker = RankerForward(arrays, (*CROWD, *TOTALS))
            self._temperature = float(arrays["temperature"][0])
            self._transitions = Transitions.of(arrays)
            self._row = {streamer: row for row, streamer in enumerate(bundle.names["streamers"], start=1)}
        except (KeyError, TypeError, ValueError, IndexError, msgspec.ValidationError, ConfigError) as err:
            raise VersionError(f"version {self.name} is not a model of this build: {err!r}") from err
        if not len(self._row) + 1 == self._rooms.num_rows == len(self._transitions.totals_S3):
            raise VersionError(
                f"version {self.name} has {self._rooms.num_rows} streamers' rows and {len(self._row)} names; it needs "
                "one row more than names"
            )

    def align(self, streamers: Sequence[str], now_ND: Floats, mean_ND: Floats) -> AlignedRooms:
        """Rooms into the model's space. now_ND: NaN rows where there is no content; mean_ND: zeros."""
        row_N = np.array([self._row.get(streamer, 0) for streamer in streamers], np.int32)
        rooms = self._rooms(np.nan_to_num(now_ND), mean_ND, row_N)
        return AlignedRooms(
            rows_N=row_N,
            vectors_NE=rooms.vector_NE,
            content_NE=rooms.content_NE,
            gate_N=rooms.gate_N,
            static_NL=self._books.assign(rooms.static_NE),
            dynamic_NL=self._books.assign(rooms.vector_NE),
        )

    def viewer(self, past: ViewerPast | None) -> VersionViewer:
        """The viewer; a stranger without visits."""
        if past is None:
            return self._stranger
        visits = past.visits
        return self.viewer_of(
            past.rooms,
            action_V=visits.action_V.astype(np.int64),
            dwell_s_V=visits.dwell_s_V,
            gap_s_V=visits.gap_s_V,
            since_same_s_V=visits.since_same_s_V,
            hour=past.hour,
        )

    def viewer_of(
        self,
        rooms: AlignedRooms,
        *,
        action_V: NDArray[np.int64],
        dwell_s_V: Floats,
        gap_s_V: Floats,
        since_same_s_V: Floats,
        hour: float,
    ) -> VersionViewer:
        """A viewer by the rooms of their V last visits, oldest first; a stranger without any."""
        most = self.max_visits
        if not len(rooms.rows_N):
            return self._stranger
        embedded_VE = self._embedded(rooms.static_NL)
        item_VE = rooms.vectors_NE + embedded_VE
        history = History(item_VE, action_V, dwell_s_V, gap_s_V, since_same_s_V, hour)
        content_E = rooms.content_NE[-most:].sum(axis=0)
        return VersionViewer(
            vector_E=self._viewers(history.last(most)),
            content_E=content_E / np.float32(max(float(np.sqrt(content_E @ content_E)), 1e-12)),
            pooled_E=embedded_VE[-most:].mean(axis=0),
            codes_VL=rooms.static_NL[-most:],
            trails=self._transitions.from_visits(rooms.rows_N.tolist()),
        )

    def prepare(self, crowd_NC: Floats, rooms: AlignedRooms) -> Floats:
        """What of ranking depends on the rooms alone."""
        totals_N3 = self._transitions.totals_S3[rooms.rows_N]
        return self._ranker.prepare(np.concatenate([crowd_NC, totals_N3], axis=1), rooms.gate_N)

    def rank(self, viewer: VersionViewer, offered: Offered) -> RankedRooms:
        """Probabilities; those of entering sum to one over the rooms offered."""
        slots_N = offered.slots_N
        logit_N3 = self.logits(
            viewer, offered.rooms.take(slots_N), offered.prepared_SH[slots_N], offered.personal_NP, offered.dot_N
        )
        enter_N = np.exp((logit_N3[:, 0] - logit_N3[:, 0].max(initial=-np.inf)) / self._temperature)
        stay_N, interact_N = 1 / (1 + np.exp(-logit_N3[:, 1:].T))
        return RankedRooms(enter_N / enter_N.sum(), stay_N, interact_N)

    def logits(
        self, viewer: VersionViewer, rooms: AlignedRooms, prepared_NH: Floats, personal_NP: Floats, dot_N: Floats
    ) -> Floats:
        """[N, 3] of the heads, row by row."""
        trails_N4 = viewer.trails.columns(rooms.rows_N)
        return self._ranker(
            prepared_NH, np.concatenate([personal_NP, trails_N4, self._extra(viewer, rooms, dot_N)], axis=1)
        )

    def _extra(self, viewer: VersionViewer, rooms: AlignedRooms, dot_N: Floats) -> Floats:
        """As EXTRA in training/model_config.py, without the gate, which is prepared."""
        static_NL, dynamic_NL = rooms.static_NL, rooms.dynamic_NL
        extra_NX = np.empty((len(dot_N), len(EXTRA) - 1), np.float32)
        extra_NX[:, 0] = dot_N
        extra_NX[:, 1] = rooms.content_NE @ viewer.content_E
        if len(viewer.codes_VL):
            theirs_2V = self._prefixes(viewer.codes_VL)
            ours_N3 = np.stack((*self._prefixes(static_NL), dynamic_NL[:, 0]), axis=1)
            extra_NX[:, 2:5] = (ours_N3[..., None] == theirs_2V[[0, 1, 0]]).mean(-1)
        else:
            extra_NX[:, 2:5] = 0
        pooled_LK = self._code_LKE @ viewer.pooled_E
        extra_NX[:, 5] = pooled_LK[np.arange(static_NL.shape[1]), static_NL].sum(axis=1)
        return extra_NX

    def _prefixes(self, codes_NL: NDArray[np.int16]) -> NDArray[np.int32]:
        """[2, N]: a number for the first code, and one for the first two."""
        first_N = codes_NL[:, 0].astype(np.int32)
        second_N = codes_NL[:, min(1, codes_NL.shape[1] - 1)]
        return np.stack((first_N, first_N * self._code_LKE.shape[1] + second_N))

    def _embedded(self, codes_NL: NDArray[np.int16]) -> Floats:
        embedded_NE: Floats = self._code_LKE[np.arange(codes_NL.shape[1]), codes_NL].sum(axis=1)
        return embedded_NE
