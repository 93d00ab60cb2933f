"""A version on a recording: its embeddings of a moment's rooms, and its view of the viewer. Never ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.inference.interface import RoomEmbeddings
from training.inference.served_model import Version, VersionViewer
from training.recorded.candidate_batches import ContentTables, RecordedVisits
from training.recorded.replay_state import Moment

NOBODY = "\0"  # no streamer's name: a streamer that the version does not know
PART = 8_192  # rooms embedded at a time


class ReplayedVersion:
    """A version that sees only chat strictly before a moment. Rooms are embedded anew when their content changed."""

    def __init__(
        self,
        version: Version,
        visits: RecordedVisits,
        contents: ContentTables,
        channels: Sequence[str],
        labels_C2: NDArray[np.int32],
    ) -> None:
        """Embeds the rooms of all visits as they were then, for viewers' pasts."""
        self.version = version
        self._visits, self._contents, self._names, self._labels_C2 = visits, contents, channels, labels_C2
        rows = contents.rows(visits.channel_W, visits.at_us_W)
        parts = [
            self._align(visits.channel_W[part], rows.now_N[part], rows.mean_N[part])
            for part in np.array_split(np.arange(len(visits.at_us_W)), max(1, len(visits.at_us_W) // PART))
        ]
        self._aligned = RoomEmbeddings.joined(parts)
        self._now = RoomEmbeddings.empty(len(channels), self._aligned)
        self._seen_2C = np.full((2, len(channels)), -1, np.int64)

    def viewer(self, moment: Moment) -> VersionViewer:
        """The viewer of the visit, by their visits before."""
        visits = self._visits
        visit = int(visits.visit_M[moment.message])
        first = max(int(visits.first_W[visit]), visit - self.version.max_visits)
        past = slice(first, visit)
        return self.version.viewer_of(
            self._aligned.take(np.arange(first, visit)),
            action_V=np.ones(visit - first, np.int64),
            dwell_s_V=visits.dwell_s_W[past],
            gap_s_V=(np.diff(np.r_[visits.at_us_W[past], moment.at_us]) / 1e6).astype(np.float32),
            since_same_s_V=visits.since_same_s_W[past],
            hour=moment.at_us / 3.6e9 % 24,
        )

    def rooms(self, moment: Moment) -> RoomEmbeddings:
        """Embeddings of the live rooms."""
        channel_N, rows = moment.live_N, self._contents.rows(moment.live_N, moment.at_us)
        changed = np.flatnonzero((self._seen_2C[:, channel_N] != (rows.now_N, rows.mean_N)).any(axis=0))
        if len(changed):
            channels = channel_N[changed]
            self._now.put(channels, self._align(channels, rows.now_N[changed], rows.mean_N[changed]))
            self._seen_2C[:, channels] = rows.now_N[changed], rows.mean_N[changed]
        return self._now.take(channel_N)

    def nobodys_rooms(self, moment: Moment, places: NDArray[np.intp]) -> RoomEmbeddings:
        """Embeddings of some live rooms, as if their streamers were unknown."""
        channel_N = moment.live_N[places]
        rows = self._contents.rows(channel_N, moment.at_us)
        return self._align(channel_N, rows.now_N, rows.mean_N, known=False)

    def _align(
        self, channel_N: NDArray[np.intp], now_N: NDArray[np.intp], mean_N: NDArray[np.intp], *, known: bool = True
    ) -> RoomEmbeddings:
        now_ND = self._contents.now_RD[now_N].astype(np.float32)
        mean_ND = np.nan_to_num(self._contents.mean_RD[mean_N].astype(np.float32))
        names = [self._names[channel] if known else NOBODY for channel in channel_N.tolist()]
        return self.version.embed_rooms(names, now_ND, mean_ND, self._labels_C2[channel_N])
