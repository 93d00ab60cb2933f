"""A version of the models as a ranker of recorded chat: it learns there, or is given. Never measures.

It ranks as it would serve (training/inference/served_model.py): in numpy, with the transitions between channels that it
knew when it was trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.evaluation.tower_diagnostics import TowerRecall, Towers, gates_of
from training.evaluation.version_on_sets import VersionOnSets
from training.features.visit_kinds import VisitKind
from training.fit.export import Origin
from training.fit.learner import LearnStep
from training.fit.local_fit import FitConfig, check_learnable, fit_version
from training.inference.served_model import Version
from training.model.batches import CandidateSets
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits
from training.recorded.transitions import transitions_of_training
from training.recorded.visits import kinds
from training.registry.bundle import Bundle

THREADS = 1  # for learning: several wait for each other in busy loops, which take most of the processor


def as_they_are(sets: CandidateSets) -> CandidateSets:
    """The candidate sets with their own content."""
    return sets


class Learned:
    """A version as a `Ranker` and `TimesRequests` (training/evaluation/baselines.py)."""

    def __init__(
        self,
        name: str,
        chat: Chat,
        config: FitConfig,
        *,
        seen: Callable[[CandidateSets], CandidateSets] = as_they_are,
        bundle: Bundle | None = None,
        on_step: Callable[[LearnStep, int], None] | None = None,
    ) -> None:
        """seen: gives candidate sets the content that the version sees.

        bundle: the version; None to learn one from the training part.
        """
        self.name = name
        self.bundle = bundle
        self._chat, self._config, self._seen, self._on_step = chat, config, seen, on_step
        self._kind_M = kinds(chat)
        self._recall = TowerRecall()
        self._version: Version | None = None
        self.request_s = 0.0

    def learn(self, past: RecordedVisits) -> None:
        """Fits a version where none is given; once only. Raises TrainingError: there is too little to learn from."""
        if self._version is not None:
            return
        if self.bundle is None:
            self.bundle = self._fit(past.usable())
        self._version = Version(self.bundle)

    def on(self, visits: RecordedVisits) -> VersionOnSets:
        """The version on some visits, once it has learned."""
        if self._version is None:
            raise AssertionError("learn comes first")
        return VersionOnSets(self._version, self._seen(visits.sets), ("", *self._chat.channels))

    def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
        """Log odds of entering, float64 [R]."""
        score_R, on = np.zeros(len(visits.sets.features_RF)), self.on(visits)
        places = zip(visits.sets.entered_V.tolist(), visits.viewer_V.tolist(), strict=True)
        for place, (entered, who) in enumerate(places):
            viewer, rooms = on.viewer(place), on.rooms(place)
            self._recall.add(viewer.vector_E, rooms.vectors_NE, entered, who)
            prepared_NH, personal_NP = on.prepare(place, rooms), on.personal(place)
            began_s = time.perf_counter()
            logit_NT = on.version.logits(viewer, rooms, prepared_NH, personal_NP)
            self.request_s += time.perf_counter() - began_s
            score_R[on.rows(place)] = logit_NT[:, 0]
        return score_R

    def towers(self) -> Towers:
        """The diagnostics of the towers, after the visits that were scored."""
        if self._version is None:
            raise AssertionError("learn comes first")
        chat, visit_M = self._chat, self._kind_M[: self._chat.num_train] != VisitKind.NO_VISIT
        visits_C = np.bincount(chat.channel_M[: chat.num_train][visit_M], minlength=len(chat.channels))
        return self._recall.figures(gates_of(self._version, chat.channels, visits_C))

    def _fit(self, past: RecordedVisits) -> Bundle:
        torch.set_num_threads(THREADS)
        channels = self._chat.channels
        streamers = tuple(sorted({channels[channel] for channel in past.channel_R[past.entered_R].tolist()}))
        row = {streamer: number for number, streamer in enumerate(streamers, start=1)}
        row_C = np.array([row.get(channel, 0) for channel in channels], np.int32)
        check_learnable(past.sets)
        until_ms = int(past.at_us_V[-1]) // 1_000
        return fit_version(
            _renumbered(self._seen(past.sets), np.append(np.int32(0), row_C)),
            streamers,
            transitions_of_training(self._chat, self._kind_M, row_C).export(len(streamers) + 1),
            self._config,
            Origin(self.name.replace(" ", "-"), "none", until_ms, until_ms),
            on_step=self._on_step,
        )


def _renumbered(sets: CandidateSets, row_S: NDArray[np.int32]) -> CandidateSets:
    """The candidate sets with other rows of streamers. row_S: by their rows now."""
    pasts = replace(sets.pasts, streamer_VT=row_S[sets.pasts.streamer_VT])
    return replace(sets, streamer_R=row_S[sets.streamer_R], pasts=pasts)
