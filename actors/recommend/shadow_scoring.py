"""Shadow scoring: a comparison of a candidate version with the live one on real requests. Never changes an answer.

A share of the requests is remembered, and scored again by both versions in another thread. It measures how much of the
ten best is the same, whether the order is, and how long each takes. It shows whether a candidate behaves before it goes
live; how good it is, the promotion gate judges.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from actors.recommend.schema import Query
from actors.recommend.scoring import Scored, Scoring
from actors.recommend.viewer_cache import COLD_START, CachedViewer, ViewerCache
from actors.state.room_embeddings import LiveEmbeddings
from actors.state.table_reader import Tables
from streaming.events import ViewerId
from streaming.metrics import Metrics

WAITING = 64  # most requests remembered; further ones are dropped
A_TURN = 16  # requests compared at a time: each holds the lock for as long as two answers
TOP = 10
ORDERED = 60  # number of best rooms whose order is compared
FEWEST = 3  # fewest common rooms for which an order means anything


class ShadowScoring:
    """Compares versions in the shadow. Any thread notes, one compares. candidate: the version compared, if any."""

    def __init__(self, tables: Tables, viewers: ViewerCache, scoring: Scoring, share: float, metrics: Metrics) -> None:
        """share: of the requests that are scored twice, at random."""
        self._tables = tables
        self._viewers = viewers
        self._scoring = scoring
        self._share = share
        self._metrics = metrics
        self._chance = random.Random().random
        self._waiting: deque[Query] = deque(maxlen=WAITING)
        self.candidate: LiveEmbeddings | None = None

    def note(self, query: Query) -> None:
        """Remembers a request, or not, at random."""
        if self.candidate is not None and self._chance() < self._share:
            self._waiting.append(query)

    def forget(self, viewer: ViewerId) -> None:
        """Forgets what a viewer asked. The caller holds the tables' lock."""
        for query in [query for query in list(self._waiting) if query.viewer == viewer]:
            with contextlib.suppress(ValueError):  # it is being scored
                self._waiting.remove(query)

    def compare(self, now_ms: int) -> None:
        """Scores the remembered requests by both versions. Takes the lock for one request at a time."""
        for _ in range(min(A_TURN, len(self._waiting))):
            candidate, query = self.candidate, self._waiting.popleft()
            if candidate is not None:
                self._compare(candidate, query, now_ms)

    def _compare(self, candidate: LiveEmbeddings, query: Query, now_ms: int) -> None:
        viewer = ViewerId(query.viewer)
        with self._tables.lock:
            live = self._tables.rooms.embeddings
            known = self._tables.viewers.raw(viewer) is not None
            cached = self._viewers.of(viewer, now_ms) if known else COLD_START
            ours = self._timed(query, cached, live, "live", now_ms)
            other = self._viewers.under(candidate, viewer, cached, now_ms)
            theirs = self._timed(query, other, candidate, "candidate", now_ms)
        ours_K, theirs_K = ours.slots_K[:ORDERED], theirs.slots_K[:ORDERED]
        if not len(ours_K) or not len(theirs_K):
            return
        self._metrics.observe("shadow_overlap_ratio", overlap(ours_K[:TOP], theirs_K[:TOP]))
        correlation = rank_correlation(ours_K, theirs_K)
        if correlation is not None:
            self._metrics.observe("shadow_correlation_ratio", correlation)

    def _timed(self, query: Query, cached: CachedViewer, embeddings: LiveEmbeddings, role: str, now_ms: int) -> Scored:
        began_s = time.perf_counter()
        scored = self._scoring.of(query, cached, embeddings, now_ms)
        self._metrics.observe("shadow_seconds", time.perf_counter() - began_s, role=role)
        return scored


def overlap(ours_K: NDArray[np.int64], theirs_K: NDArray[np.int64]) -> float:
    """The share of the shorter list that is in the other too."""
    return len(np.intersect1d(ours_K, theirs_K)) / min(len(ours_K), len(theirs_K))


def rank_correlation(ours_K: NDArray[np.int64], theirs_K: NDArray[np.int64]) -> float | None:
    """Spearman's correlation of the rooms in both lists, each without repetitions; None where they are too few."""
    common, ours_C, theirs_C = np.intersect1d(ours_K, theirs_K, return_indices=True)
    if len(common) < FEWEST:
        return None
    rank_C, other_C = (places_C.argsort().argsort() - (len(common) - 1) / 2 for places_C in (ours_C, theirs_C))
    return float(rank_C @ other_C / (rank_C @ rank_C))  # both are the same numbers in some order
