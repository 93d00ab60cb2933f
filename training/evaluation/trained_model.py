"""A version of the models as a ranker of recorded chat: it learns there, or is given. Never measures.

It ranks as it would serve (training/inference/served_model.py): in numpy, with the transitions between channels that it
knew when it was trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from streaming.recorded.replay import Channel
from training.evaluation.replayed_version import ReplayedVersion
from training.evaluation.tower_diagnostics import TowerRecall, Towers, gates_of
from training.features.features import COLUMN, ROOM_FEATURES, VIEWER_FEATURES
from training.features.visit_kinds import VisitKind
from training.fit.export import Origin
from training.fit.learner import LearnStep
from training.fit.local_fit import FitConfig, fit_version
from training.inference.served_model import Version
from training.recorded.candidate_batches import (
    ContentTables,
    channel_labels,
    find_visits,
    rows_of,
    slates_of,
    vocabulary,
)
from training.recorded.chat import Chat
from training.recorded.moves_observer import MovesObserver
from training.recorded.replay_state import Moment
from training.recorded.visits import kinds
from training.registry.bundle import Bundle

PERSONAL_COLUMNS = [COLUMN[name] for name in VIEWER_FEATURES]
CROWD_COLUMNS = [COLUMN[name] for name in ROOM_FEATURES]
THREADS = 1  # for learning: several wait for each other in busy loops, which take most of the processor


class Learned:
    """A version as a `Ranker` and `TimesRequests` (training/evaluation/baselines.py)."""

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
        told: Callable[[LearnStep, int], None] | None = None,
    ) -> None:
        """known: languages and categories by channel. bundle: the version; None to learn one from the training part."""
        self.name = name
        self.bundle = bundle
        self._chat, self._contents, self._config, self._told = chat, contents, config, told
        self._encoder_version = encoder_version
        self._labels_C2 = channel_labels(chat.channels, known)
        self._kind_M = kinds(chat)
        self._visits = find_visits(chat, self._kind_M)
        self._recall = TowerRecall()
        self._replayed: ReplayedVersion | None = None
        self.request_s = 0.0

    def learn(self, past: Sequence[Moment]) -> None:
        """Fits a version where none is given; once only. Raises TrainingError: there is too little to learn from."""
        if self._replayed is not None:
            return
        if self.bundle is None:
            usable = [moment for moment in past if len(moment.live_N) > 1 and not moment.surprise]
            self.bundle = self._fit(usable)
        version, channels = Version(self.bundle), self._chat.channels
        self._replayed = ReplayedVersion(version, self._visits, self._contents, channels, self._labels_C2)

    @property
    def replayed(self) -> ReplayedVersion:
        """The version on the recording, once it has learned."""
        if self._replayed is None:
            raise AssertionError("learn comes first")
        return self._replayed

    def score(self, moment: Moment) -> NDArray[np.float64]:
        """Log odds of entering, float64 [N]."""
        replayed = self.replayed
        viewer, rooms = replayed.viewer(moment), replayed.rooms(moment)
        self._recall.add(viewer.vector_E, rooms.vectors_NE, moment.entered)
        prepared_NH = replayed.version.prepare(moment.features_NF[:, CROWD_COLUMNS], rooms)
        personal_NP = moment.features_NF[:, PERSONAL_COLUMNS]
        began_s = time.perf_counter()
        logit_N3 = replayed.version.logits(viewer, rooms, prepared_NH, personal_NP)
        self.request_s += time.perf_counter() - began_s
        return logit_N3[:, 0].astype(np.float64)

    def towers(self) -> Towers:
        """The diagnostics of the towers, after the visits that were scored."""
        chat, visit_M = self._chat, self._kind_M[: self._chat.num_train] != VisitKind.NO_VISIT
        visits_C = np.bincount(chat.channel_M[: chat.num_train][visit_M], minlength=len(chat.channels))
        return self._recall.figures(gates_of(self.replayed.version, chat.channels, visits_C))

    def _fit(self, past: Sequence[Moment]) -> Bundle:
        torch.set_num_threads(THREADS)
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
        return fit_version(
            slates,
            streamers,
            self._moves().counts(row_C).export(len(streamers) + 1),
            self._config,
            Origin(
                self.name.replace(" ", "-"), self._encoder_version, past[-1].at_us // 1_000, past[-1].at_us // 1_000
            ),
            on_step=self._told,
        )

    def _moves(self) -> MovesObserver:
        """The transitions of the training part."""
        chat, moves = self._chat, MovesObserver(self._chat.num_train)
        columns = (chat.at_us_M, chat.viewer_M, chat.channel_M, self._kind_M)
        for message in zip(*(column[: chat.num_train].tolist() for column in columns), strict=True):
            moves.apply(*message)
        return moves
