"""A version on candidate sets: the embeddings of their rooms, and the viewers as it sees them. Never learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.features.features import COLUMN, ROOM_FEATURES, VIEWER_FEATURES
from training.inference.interface import RoomEmbeddings
from training.inference.served_model import Version, VersionViewer
from training.model.batches import CandidateSets

NOBODY = "\0"  # no streamer's name: a streamer that the version does not know
PART = 8_192  # rooms embedded at a time
CROWD_COLUMNS = [COLUMN[name] for name in ROOM_FEATURES]
PERSONAL_COLUMNS = [COLUMN[name] for name in VIEWER_FEATURES]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class VersionOnSets:
    """A version that ranks candidate sets as it would serve. Rooms with the same content are embedded once."""

    def __init__(self, version: Version, sets: CandidateSets, names: Sequence[str]) -> None:
        """names[row]: of the streamers in the sets; row 0 stands for an unknown one."""
        self.version, self._sets, self._names = version, sets, names
        pasts = sets.pasts
        T = pasts.streamer_VT.shape[1]
        there_VT = np.arange(T) >= T - pasts.length_V[:, None]
        room_A4 = _together(sets.streamer_R, sets.now_R, sets.mean_R, sets.labels_R2)
        past_P4 = _together(
            pasts.streamer_VT[there_VT], pasts.now_VT[there_VT], pasts.mean_VT[there_VT], pasts.labels_VT2[there_VT]
        )
        number_A, self._rooms_U4 = _numbered(np.concatenate([room_A4, past_P4]))
        self._number_R = number_A[: len(room_A4)]
        self._number_VT = np.zeros(there_VT.shape, np.int64)
        self._number_VT[there_VT] = number_A[len(room_A4) :]
        self._start_V = np.append(sets.starts(), len(sets.features_RF))
        parts = np.array_split(self._rooms_U4, max(1, len(self._rooms_U4) // PART))
        self._embedded = RoomEmbeddings.joined([self._embed(part_N4) for part_N4 in parts])

    def rows(self, place: int) -> slice:
        """The rows of a candidate set."""
        return slice(int(self._start_V[place]), int(self._start_V[place + 1]))

    def rooms(self, place: int) -> RoomEmbeddings:
        """Embeddings of a candidate set's rooms."""
        return self._embedded.take(self._number_R[self.rows(place)])

    def nobodys_rooms(self, place: int, chosen_N: NDArray[np.intp]) -> RoomEmbeddings:
        """Embeddings of some rooms of a candidate set, as if their streamers were unknown."""
        return self._embed(self._rooms_U4[self._number_R[self.rows(place)][chosen_N]], known=False)

    def viewer(self, place: int) -> VersionViewer:
        """The viewer of a visit, by their visits before."""
        pasts = self._sets.pasts
        length = min(int(pasts.length_V[place]), self.version.max_visits)
        last = slice(pasts.streamer_VT.shape[1] - length, None)
        return self.version.viewer_of(
            self._embedded.take(self._number_VT[place, last]),
            action_V=pasts.action_VT[place, last].astype(np.int64),
            dwell_s_V=pasts.dwell_s_VT[place, last],
            gap_s_V=pasts.gap_s_VT[place, last],
            since_same_s_V=pasts.since_same_s_VT[place, last],
            hour=float(self._sets.at_ms_V[place] / 3.6e6 % 24),
        )

    def prepare(self, place: int, rooms: RoomEmbeddings) -> Floats:
        """The part of ranking a candidate set that depends on its rooms alone, float32 [N, H]."""
        return self.version.prepare(self._sets.features_RF[self.rows(place)][:, CROWD_COLUMNS], rooms)

    def personal(self, place: int) -> Floats:
        """The viewer features of a candidate set, float32 [N, P]."""
        personal_NP: Floats = self._sets.features_RF[self.rows(place)][:, PERSONAL_COLUMNS]
        return personal_NP

    def scores(self) -> NDArray[np.float64]:
        """Log odds of entering of all candidates, float64 [R]."""
        score_R = np.zeros(len(self._sets.features_RF))
        for place in range(len(self._sets)):
            rooms, viewer = self.rooms(place), self.viewer(place)
            logit_NT = self.version.logits(viewer, rooms, self.prepare(place, rooms), self.personal(place))
            score_R[self.rows(place)] = logit_NT[:, 0]
        return score_R

    def _embed(self, rooms_N4: Integers, *, known: bool = True) -> RoomEmbeddings:
        row_N, now_N, mean_N, label_N = rooms_N4.T
        contents = self._sets.contents
        return self.version.embed_rooms(
            [self._names[row] if known else NOBODY for row in row_N.tolist()],
            contents.now_KD[now_N].astype(np.float32),
            np.nan_to_num(contents.mean_LD[mean_N].astype(np.float32)),
            np.stack([label_N >> 32, label_N & 0xFFFF_FFFF], axis=1).astype(np.int32),
        )


def _together(
    row_N: NDArray[np.int32], now_N: NDArray[np.int32], mean_N: NDArray[np.int32], labels_N2: NDArray[np.int32]
) -> Integers:
    """What a room's embedding depends on, int64 [N, 4]: streamer, content, slow mean, both labels."""
    label_N2 = labels_N2.astype(np.int64)
    return np.stack([row_N, now_N, mean_N, label_N2[:, 0] << 32 | label_N2[:, 1]], axis=1).astype(np.int64)


def _numbered(rooms_A4: Integers) -> tuple[Integers, Integers]:
    """Numbers of equal rows, int64 [A], and the distinct rows, int64 [U, 4]."""
    number_A = np.zeros(len(rooms_A4), np.int64)
    for column_A in rooms_A4.T:  # sorting numbers takes a tenth of sorting rows
        _, place_A = np.unique(column_A, return_inverse=True)
        number_A = np.unique(number_A * (int(place_A.max(initial=0)) + 1) + place_A, return_inverse=True)[1]
    first_U = np.unique(number_A, return_index=True)[1]
    return number_A, rooms_A4[first_U]
