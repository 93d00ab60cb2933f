"""A trained version as replicas run it: numpy over the arrays of a bundle. Never trains, never imports torch.

Equal to training/model/model.py within rounding, by a test. The part that depends on the rooms alone is computed a few
times a second for all of them (`prepare`), the part that depends on the viewer alone once per profile (`viewer`). A
request computes the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streaming.errors import ConfigError, VersionError
from training.content.declared_labels import LABELS
from training.features.features import ROOM_FEATURES
from training.inference import candidate_kernels
from training.inference.co_visits import Transitions, ViewerTransitions
from training.inference.interface import RankedRooms, RequestCandidates, RoomEmbeddings, RoomsToExplain, ViewerPast
from training.inference.room_and_ranker import RankerForward, RankTrace, RoomForward
from training.inference.viewer_tower import ViewerForward, VisitHistory
from training.model.config import COLD, RANKED, TOTALS, ModelConfig
from training.model.semantic_codes import Codebooks
from training.registry.bundle import Bundle

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class VersionViewer:
    """A viewer as a version sees them: a `ServedViewer`."""

    vector_E: Floats
    content_E: Floats  # mean of the visited rooms' content, unit length
    product_LK: Floats  # of each code's embedding with the mean of those of the rooms visited
    marks_4V: NDArray[np.int32]  # of the rooms visited: first code, first two, language, category; −1 for unknown
    transitions: ViewerTransitions


class Version:
    """A trained version in memory: a `ServedVersion` (training/inference/interface.py). Frozen; any thread may call."""

    ranks = True

    def __init__(self, bundle: Bundle) -> None:
        """Checks the bundle. Raises VersionError: it is of another kind, or its arrays do not fit each other."""
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
            self._code_LKE: Floats = np.array(arrays["code_LKE"], np.float32)
            self._viewers = ViewerForward(config.viewer, arrays, "viewers.")
            self.max_visits = int(manifest.config["learn"]["visits"])
            self._ranker = RankerForward(arrays, (*ROOM_FEATURES, *TOTALS))
            self._temperature = float(arrays["temperature"][0])
            self._transitions = Transitions.from_arrays(arrays)
            self._totals_S3: Floats = np.array(self._transitions.totals_S3, np.float32)
            self._totals_S3[COLD] = np.nan  # not nobody, but nobody knows: as training/fit/frozen_towers.py has it
            levels, codes, width = self._code_LKE.shape
            self._stranger = VersionViewer(
                vector_E=np.array(arrays["stranger_E"], np.float32),  # kernels take none that is not to be written to
                content_E=np.zeros(width, np.float32),
                product_LK=np.zeros((levels, codes), np.float32),
                marks_4V=np.zeros((4, 0), np.int32),
                transitions=self._transitions.from_visits([]),
            )
            self._row = {streamer: row for row, streamer in enumerate(bundle.names["streamers"], start=1)}
        except (KeyError, TypeError, ValueError, IndexError, msgspec.ValidationError, ConfigError) as err:
            raise VersionError(f"version {self.name} is not a model of this build: {err!r}") from err
        if not len(self._row) + 1 == self._rooms.num_rows == len(self._totals_S3):
            raise VersionError(
                f"version {self.name} has {self._rooms.num_rows} streamers' rows and {len(self._row)} names; it needs "
                "one row more than names"
            )

    def embed_rooms(
        self,
        streamers: Sequence[str],
        now_ND: Floats,
        mean_ND: Floats,
        labels_N2: NDArray[np.int32] | None = None,
    ) -> RoomEmbeddings:
        """Embeddings of N rooms. now_ND: NaN rows where there is no content; mean_ND: zeros there."""
        row_N = np.array([self._row.get(streamer, 0) for streamer in streamers], np.int32)
        rooms = self._rooms(np.nan_to_num(now_ND), mean_ND, row_N)
        return RoomEmbeddings(
            rows_N=row_N,
            vectors_NE=rooms.vector_NE,
            content_NE=rooms.content_NE,
            content_gate_N=rooms.content_gate_N,
            static_NL=self._books.assign(rooms.static_NE),
            dynamic_NL=self._books.assign(rooms.vector_NE),
            labels_N2=np.zeros((len(row_N), LABELS), np.int32) if labels_N2 is None else labels_N2,
        )

    def viewer(self, past: ViewerPast | None) -> VersionViewer:
        """The viewer as this version sees them; without visits a cold-start viewer."""
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
        rooms: RoomEmbeddings,
        *,
        action_V: NDArray[np.int64],
        dwell_s_V: Floats,
        gap_s_V: Floats,
        since_same_s_V: Floats,
        hour: float,
    ) -> VersionViewer:
        """A viewer by the rooms of their V last visits, oldest first; without any a cold-start viewer."""
        most = self.max_visits
        if not len(rooms.rows_N):
            return self._stranger
        last = slice(-most, None)
        item_VE, content_E, product_LK, marks_4V = candidate_kernels.summarise_past(
            rooms.vectors_NE[last],
            rooms.content_NE[last],
            rooms.static_NL[last],
            rooms.labels_N2[last],
            self._code_LKE,
        )
        history = VisitHistory(item_VE, action_V[last], dwell_s_V[last], gap_s_V[last], since_same_s_V[last], hour)
        return VersionViewer(
            vector_E=self._viewers(history),
            content_E=content_E,
            product_LK=product_LK,
            marks_4V=marks_4V,
            transitions=self._transitions.from_visits(rooms.rows_N.tolist()),
        )

    def prepare(self, room_features_NC: Floats, rooms: RoomEmbeddings) -> Floats:
        """The part of ranking that depends on the rooms alone, float32 [N, H]."""
        totals_N3 = self._totals_S3[rooms.rows_N]
        return self._ranker.prepare(np.concatenate([room_features_NC, totals_N3], axis=1), rooms.content_gate_N)

    def rank(self, viewer: VersionViewer, offered: RequestCandidates) -> RankedRooms:
        """Probabilities of the candidates; those of entering sum to one over them."""
        if not len(offered.slots_N):
            none_N = np.zeros(0, np.float32)
            return RankedRooms(none_N, none_N, none_N)
        values_NF = self._values(viewer, offered)
        sum_NO = self._ranker.summed(offered.prepared_SH, offered.slots_N, values_NF)
        logit_NT = self._ranker.heads(sum_NO, values_NF)
        inside = RankTrace(sum_NO, values_NF, logit_NT)
        enter_N, stay_N, interact_N, *leave = self._ranker.probabilities(logit_NT, self._temperature)
        return RankedRooms(enter_N, stay_N, interact_N, leave[0] if leave else None, inside)

    def log_odds_drops(
        self, viewer: VersionViewer, offered: RequestCandidates, ranked: RankedRooms, rooms: RoomsToExplain
    ) -> Floats:
        """Drops of the log odds of entering of K rooms without each of causes.CAUSES, float32 [K, C]."""
        is_known = viewer is not self._stranger
        drop_KC = self._ranker.log_odds_drops(
            ranked.inside, offered.prepared_SH, offered.slots_N, rooms, is_known=is_known
        )
        return drop_KC / np.float32(self._temperature)

    def logits(
        self, viewer: VersionViewer, rooms: RoomEmbeddings, prepared_NH: Floats, viewer_features_NP: Floats
    ) -> Floats:
        """Logits of the version's T heads, float32 [N, T], row by row."""
        viewer_features_NP, prepared_NH = np.ascontiguousarray(viewer_features_NP), np.ascontiguousarray(prepared_NH)
        return self._logits(
            viewer, RequestCandidates(np.arange(len(viewer_features_NP)), rooms, prepared_NH, viewer_features_NP)
        )

    def columns(
        self, viewer: VersionViewer, rooms: RoomEmbeddings, viewer_features_NP: Floats, learned_N4: Floats | None = None
    ) -> Floats:
        """The ranker's inputs, float32 [N, F], row by row: VIEWER_FEATURES, LEARNED and EXTRA but the content gate.

        learned_N4: columns as LEARNED, where they do not come from the version's own tables.
        """
        slots_N = np.arange(len(viewer_features_NP))
        learned_N4 = (
            viewer.transitions.columns(rooms.rows_N) if learned_N4 is None else np.ascontiguousarray(learned_N4)
        )
        return _columns(viewer, rooms, slots_N, np.ascontiguousarray(viewer_features_NP), learned_N4)

    def _logits(self, viewer: VersionViewer, offered: RequestCandidates) -> Floats:
        return self._ranker(offered.prepared_SH, offered.slots_N, self._values(viewer, offered))

    def _values(self, viewer: VersionViewer, offered: RequestCandidates) -> Floats:
        slots_N = offered.slots_N
        learned_N4 = viewer.transitions.columns(offered.rooms.rows_N[slots_N])
        return _columns(viewer, offered.rooms, slots_N, offered.viewer_features_NP, learned_N4)


def _columns(
    viewer: VersionViewer,
    rooms: RoomEmbeddings,
    slots_N: NDArray[np.int64],
    viewer_features_NP: Floats,
    learned_N4: Floats,
) -> Floats:
    values_NF: Floats = candidate_kernels.candidate_values(
        slots_N,
        viewer_features_NP,
        learned_N4,
        rooms.vectors_NE,
        rooms.content_NE,
        rooms.static_NL,
        rooms.dynamic_NL,
        rooms.labels_N2,
        viewer.vector_E,
        viewer.content_E,
        viewer.product_LK,
        viewer.marks_4V,
    )
    return values_NF
