"""A version of the models in an evaluation on recorded chat: learns there, or is given, and ranks. Never measures.

What ranks is the version as it would serve (training/version.py): in numpy, with what it knew of moves between channels
when it was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from streaming.replay import Channel
from training.bundle import Bundle
from training.chat import Chat
from training.features import COLUMN, CROWD, PERSONAL
from training.fitting import FitConfig, fit
from training.freeze import Origin
from training.learn import Step
from training.moves_observer import MovesObserver
from training.recorded_slates import ContentTables, channel_labels, find_visits, rows_of, slates_of, vocabulary
from training.serving import AlignedRooms
from training.tower_figures import TowerRecall, Towers, gates_of
from training.version import Version
from training.visits import Kind, kinds
from training.world import Moment

PERSONAL_COLUMNS = [COLUMN[name] for name in PERSONAL]
CROWD_COLUMNS = [COLUMN[name] for name in CROWD]


class Learned:
    """A Ranker and an Observer (training/rankers.py, training/world.py)."""

    def __init__(
        self,
        name: str,
        chat: Chat,
        contents: ContentTables,
        config: FitConfig,
        *,
        known: Mapping[str, Channel] = MappingProxyType({}),
        encoder_version: str = "none",
        bundle: Bundle | None = None,
        told: Callable[[Step, int], None] | None = None,
    ) -> None:
        """known: languages and categories by channel. bundle: what ranks; None to learn it from the training part."""
        self.name = name
        self.bundle = bundle
        self._chat, self._contents, self._config, self._told = chat, contents, config, told
        self._encoder_version = encoder_version
        self._labels_C2 = channel_labels(chat.channels, known)
        self._kind_M = kinds(chat)
        self._visits = find_visits(chat, self._kind_M)
        self._moves = MovesObserver(chat.num_train)
        self._recall = TowerRecall()
        self._version: Version | None = None

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """One message, in time order."""
        if self.bundle is None:
            self._moves.apply(at_us, viewer, channel, kind)

    def learn(self, past: Sequence[Moment]) -> None:
        """Fits a version where none is given. Raises TrainingError: there is too little to learn from."""
        if self.bundle is None:
            usable = [moment for moment in past if len(moment.live_N) > 1 and not moment.surprise]
            self.bundle = self._fit(usable)
        self._use(Version(self.bundle))

    def score(self, moment: Moment) -> NDArray[np.float64]:
        """Log odds of entering, [N]."""
        if self._version is None:
            raise AssertionError("learn comes before score")
        version, visits = self._version, self._visits
        visit = int(visits.visit_M[moment.message])
        first = max(int(visits.first_W[visit]), visit - version.max_visits)
        rows = self._contents.rows(moment.live_N, moment.at_us)
        rooms = self._rooms(moment.live_N, rows.now_N, rows.mean_N)
        past = slice(first, visit)
        viewer = version.viewer_of(
            self._aligned.take(np.arange(first, visit)),
            action_V=np.ones(visit - first, np.int64),
            dwell_s_V=visits.dwell_s_W[past],
            gap_s_V=(np.diff(np.r_[visits.at_us_W[past], moment.at_us]) / 1e6).astype(np.float32),
            since_same_s_V=visits.since_same_s_W[past],
            hour=moment.at_us / 3.6e9 % 24,
        )
        self._recall.add(viewer.vector_E, rooms.vectors_NE, moment.entered)
        prepared_NH = version.prepare(moment.features_NF[:, CROWD_COLUMNS], rooms)
        logit_N3 = version.logits(
            viewer, rooms, prepared_NH, moment.features_NF[:, PERSONAL_COLUMNS], rooms.vectors_NE @ viewer.vector_E
        )
        return logit_N3[:, 0].astype(np.float64)

    def towers(self) -> Towers:
        """What is to be said of the towers, after the visits that were scored."""
        if self._version is None:
            raise AssertionError("learn comes before towers")
        chat, visit_M = self._chat, self._kind_M[: self._chat.num_train] != Kind.NO_VISIT
        visits_C = np.bincount(chat.channel_M[: chat.num_train][visit_M], minlength=len(chat.channels))
        return self._recall.figures(gates_of(self._version, chat.channels, visits_C))

    def _fit(self, past: Sequence[Moment]) -> Bundle:
        streamers = vocabulary(self._chat, [int(moment.live_N[moment.entered]) for moment in past])
        row_C = rows_of(self._chat.channels, streamers)
        slates = slates_of(
            past,
            self._visits,
            self._contents,
            row_C=row_C,
            labels_C2=self._labels_C2,
            max_visits=self._config.learn.visits,
        )
        return fit(
            slates,
            streamers,
            self._moves.counts(row_C).frozen(len(streamers) + 1),
            self._config,
            Origin(
                self.name.replace(" ", "-"), self._encoder_version, past[-1].at_us // 1_000, past[-1].at_us // 1_000
            ),
            told=self._told,
        )

    def _use(self, version: Version) -> None:
        """Aligns the rooms of all visits as they were then, which pasts are made of."""
        self._version = version
        self._names = self._chat.channels
        visits = self._visits
        rows = self._contents.rows(visits.channel_W, visits.at_us_W)
        parts = [
            self._align(visits.channel_W[part], rows.now_N[part], rows.mean_N[part])
            for part in np.array_split(np.arange(len(visits.at_us_W)), max(1, len(visits.at_us_W) // 8_192))
        ]
        self._aligned = AlignedRooms.joined(parts)
        self._now = AlignedRooms.empty(len(self._names), self._aligned)
        self._seen_2C = np.full((2, len(self._names)), -1, np.int64)

    def _rooms(self, channel_N: NDArray[np.intp], now_N: NDArray[np.intp], mean_N: NDArray[np.intp]) -> AlignedRooms:
        """Aligns anew those whose content has changed since they were asked for."""
        changed = np.flatnonzero((self._seen_2C[:, channel_N] != (now_N, mean_N)).any(axis=0))
        if len(changed):
            channels = channel_N[changed]
            self._now.put(channels, self._align(channels, now_N[changed], mean_N[changed]))
            self._seen_2C[:, channels] = now_N[changed], mean_N[changed]
        return self._now.take(channel_N)

    def _align(self, channel_N: NDArray[np.intp], now_N: NDArray[np.intp], mean_N: NDArray[np.intp]) -> AlignedRooms:
        if self._version is None:
            raise AssertionError("a version aligns")
        now_ND = self._contents.now_RD[now_N].astype(np.float32)
        mean_ND = np.nan_to_num(self._contents.mean_RD[mean_N].astype(np.float32))
        names = [self._names[channel] for channel in channel_N.tolist()]
        return self._version.align(names, now_ND, mean_ND, self._labels_C2[channel_N])
