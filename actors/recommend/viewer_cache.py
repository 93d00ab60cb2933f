"""A cache of viewers between requests: interest profile, affinity, vector. Never scores a room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from actors.recommend.baseline_score import Affinity
from actors.recommend.candidates import Candidates, Visited
from actors.requests.context import Context
from actors.requests.context_profile import preferred_languages, profile_of
from actors.spaces.content_space import EndedRoom, RoomSnapshot
from actors.state.room_embeddings import LiveEmbeddings, ModelEmbeddings
from actors.state.room_table import RoomTable
from actors.state.table_reader import Tables
from actors.state.viewer_taste import (
    NOBODY,
    PRESENCE_MS,
    InterestProfile,
    Likened,
    ProfileReading,
    abouts_of,
    interest_profile,
    likened,
    reading_of,
)
from streaming.errors import RecordError
from streaming.events import RoomState, ViewerId, ViewerProfile, Visit
from streaming.metrics import Metrics
from streaming.viewer.rules import NO_RULES, RulesInForce, in_force
from training.content.spelling import language_key
from training.features.viewer_columns import ProfileReader
from training.features.visit_sequence import PastVisits, past_visits
from training.inference.interface import RoomEmbeddings, ServedViewer, ViewerPast
from training.settings import BaselineWeights

MAX_VIEWERS = 20_000  # interest profiles kept; some 3.5 KB each
MAX_MODEL_VIEWERS = 8_000  # the same with a model: some 13 KB each, with the profile decoded
HOUR_MS = 3_600_000
HABITS_MS = 600_000  # habits fade (training/baseline.py), and are computed anew for an unchanged profile after this
READ_AGAIN_MS = 30_000  # an interest profile is read anew after this even without a new event: its rooms change


@dataclass(slots=True, eq=False)
class KeptProfile:
    """Data of a profile kept until it changes, with a model. Interest profiles are then read in a third of the time."""

    profile: ViewerProfile
    reading: ProfileReading
    past: ProfileReader
    visits: PastVisits
    most_visits: int  # limit under which `visits` was read


@dataclass(slots=True)
class CachedViewer:
    """A viewer in the cache: the interest profile and its sources."""

    interests: InterestProfile
    affinity: Affinity | None = None  # None: a cold-start viewer
    visited: Visited = field(default_factory=Visited)
    query_E: NDArray[np.float32] | None = None  # the viewer's vector for the index of the version in force
    viewer: ServedViewer | None = None  # with a model
    likened: Likened = NOBODY
    kept: KeptProfile | None = None  # with a model
    row_V: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # rows of `visited` in `past`
    raw: bytes = b""
    read_ms: int = 0
    basis: int = 0

    @property
    def past(self) -> ProfileReader | None:
        """The reader of the viewer's past, with a model, else None."""
        return None if self.kept is None else self.kept.past

    @property
    def known_live(self) -> int:
        """Number of live rooms of streamers visited before; with a model."""
        return int(np.count_nonzero(self.row_V))

    def see(self, visited: Visited) -> None:
        """Replaces the live rooms of streamers visited before."""
        self.visited = visited
        if self.kept is not None:
            self.row_V = self.kept.past.rows(visited.streamers)


COLD_START = CachedViewer(InterestProfile(known=False))


class ViewerCache:
    """A cache of viewers, read anew on a new profile, another version, or with time. Used under the tables' lock."""

    def __init__(
        self,
        tables: Tables,
        candidates: Candidates,
        weights: BaselineWeights,
        broad_category: str,
        metrics: Metrics,
        *,
        presence_ms: int = PRESENCE_MS,
    ) -> None:
        """presence_ms: a viewer who was silent for so long is in no room."""
        self._tables = tables
        self._rooms: RoomTable = tables.rooms
        self._candidates = candidates
        self._weights = weights
        self._broad_category = broad_category
        self._presence_ms = presence_ms
        self._metrics = metrics
        self._cached: OrderedDict[ViewerId, CachedViewer] = OrderedDict()

    def of(self, viewer: ViewerId, now_ms: int) -> CachedViewer:
        """The viewer's data, read anew with a new profile, vector basis or label number, and every READ_AGAIN_MS."""
        raw = self._tables.viewers.raw(viewer)
        if raw is None:
            self._metrics.count("strangers_total")
            return _with_rules(self._tables.viewers.rules(viewer))
        cached = self._cached.get(viewer)
        if (
            cached is not None
            and cached.raw is raw
            and cached.basis == self._rooms.basis_version
            and 0 <= now_ms - cached.read_ms < READ_AGAIN_MS
            and cached.affinity is not None
            and cached.affinity.stands(self._rooms)
        ):
            if not self._rooms.roster.stands(cached.visited.version, cached.interests.streamers):
                cached.see(self._candidates.visited(cached.interests))
            return cached
        cached = self._read(viewer, raw, cached, now_ms)
        if cached is None:
            return COLD_START
        self._cached[viewer] = cached
        self._cached.move_to_end(viewer)
        most = MAX_MODEL_VIEWERS if isinstance(self._rooms.embeddings, ModelEmbeddings) else MAX_VIEWERS
        while len(self._cached) > most:
            self._cached.popitem(last=False)
        return cached

    def forget(self, viewer: ViewerId) -> None:
        """Forgets a viewer."""
        self._cached.pop(viewer, None)

    def rules_alone(self, viewer: ViewerId) -> CachedViewer:
        """A cold-start viewer with the viewer's own rules, for where all else cannot be read. Not cached."""
        raw = self._tables.viewers.raw(viewer)
        profile = self._decode(viewer, raw) if raw is not None else None
        return COLD_START if profile is None else _with_rules(in_force(profile.rules))

    def under(self, embeddings: LiveEmbeddings, viewer: ViewerId, cached: CachedViewer, now_ms: int) -> CachedViewer:
        """The viewer's data under a version that is not in force; not cached."""
        profile = self._decode(viewer, cached.raw) if cached.raw else None
        if profile is None:
            return COLD_START
        other = CachedViewer(cached.interests, cached.affinity, cached.visited, raw=cached.raw, read_ms=now_ms)
        if isinstance(embeddings, ModelEmbeddings):  # the baseline ranker's vector is of the space in use
            other.kept = self._kept(profile, embeddings, None, self._rooms.lately.event_now_ms(now_ms))
            other.see(cached.visited)
            self._ask_tower(other, embeddings, abouts_of(profile.visits, self._rooms), now_ms)
        return other

    def of_context(self, context: Context, viewer: ViewerId, now_ms: int) -> CachedViewer:
        """A viewer without a profile, as one who visited the recent rooms just now; not cached.

        The preferred language counts as their most visited one, whatever they visited.
        """
        rooms = self._rooms
        preferred = preferred_languages(context, rooms)
        if not context.recent:
            interests = InterestProfile(known=False, languages=dict.fromkeys(preferred, 1.0), preferred=preferred)
            return CachedViewer(interests, Affinity(interests, rooms, self._weights))
        profile = profile_of(context, viewer, rooms, rooms.lately.event_now_ms(now_ms))
        return self._built(profile, None, None, now_ms, preferred)

    def recent(self, most: int) -> Mapping[ViewerId, CachedViewer]:
        """The viewers read last, the newest first, at most `most`."""
        return {viewer: self._cached[viewer] for viewer, _ in zip(reversed(self._cached), range(most), strict=False)}

    def _decode(self, viewer: ViewerId, raw: bytes) -> ViewerProfile | None:
        try:
            return self._tables.viewers.decode(raw)
        except RecordError:
            self._metrics.count("undecodable_total", topic="viewer-profiles")
            self._tables.viewers.drop(viewer)
            return None

    def _read(self, viewer: ViewerId, raw: bytes, before: CachedViewer | None, now_ms: int) -> CachedViewer | None:
        """Reads a viewer; None: the profile cannot be decoded. before: the cached data, perhaps of an older profile."""
        kept = before.kept if before is not None and before.raw is raw else None
        profile = self._decode(viewer, raw) if kept is None else kept.profile
        if profile is None:
            return None
        cached = self._built(profile, before, kept, now_ms)
        cached.raw = raw
        return cached

    def _built(
        self,
        profile: ViewerProfile,
        before: CachedViewer | None,
        kept: KeptProfile | None,
        now_ms: int,
        preferred: frozenset[str] | None = None,
    ) -> CachedViewer:
        """A viewer from a profile. before: the cached data. preferred: of a viewer whom the platform does not know."""
        rooms, embeddings = self._rooms, self._rooms.embeddings
        event_now_ms, reading = rooms.lately.event_now_ms(now_ms), None
        if isinstance(embeddings, ModelEmbeddings):
            kept = self._kept(profile, embeddings, kept, event_now_ms)
            reading = kept.reading
        abouts = abouts_of(profile.visits, rooms)
        interests = interest_profile(
            profile,
            rooms,
            event_now_ms,
            self._broad_category,
            reading=reading,
            abouts=abouts,
            content=reading is None,
            presence_ms=self._presence_ms,
        )
        if preferred is not None:
            languages = {language_key(language): share for language, share in interests.languages.items()}
            languages |= dict.fromkeys(preferred, 1.0)
            interests = replace(interests, known=False, languages=languages, preferred=preferred)
        cached = CachedViewer(
            interests, Affinity(interests, rooms, self._weights), query_E=interests.query_E, likened=interests.likened
        )
        cached.read_ms, cached.basis = now_ms, rooms.basis_version
        if isinstance(embeddings, ModelEmbeddings):
            cached.kept = kept
            self._ask_tower(cached, embeddings, abouts, now_ms)
        if before is not None and before.kept is kept is not None and before.interests.habits is interests.habits:
            cached.visited, cached.row_V = before.visited, before.row_V
            if rooms.roster.stands(cached.visited.version, interests.streamers):
                return cached
        cached.see(self._candidates.visited(interests))
        return cached

    def _kept(
        self, profile: ViewerProfile, embeddings: ModelEmbeddings, before: KeptProfile | None, event_now_ms: int
    ) -> KeptProfile:
        """The data kept of a profile. before: those of the same profile, if any."""
        most = embeddings.model.max_visits
        if before is not None and before.most_visits == most:
            if event_now_ms - before.reading.habits_ms > HABITS_MS:
                before.reading = reading_of(profile, event_now_ms)
            return before
        visits = past_visits(profile, event_now_ms, most)
        return KeptProfile(profile, reading_of(profile, event_now_ms), ProfileReader(profile), visits, most)

    def _ask_tower(
        self,
        cached: CachedViewer,
        embeddings: ModelEmbeddings,
        abouts: Sequence[RoomSnapshot | EndedRoom | None],
        now_ms: int,
    ) -> None:
        kept, past = cached.kept, None
        if kept is not None and kept.profile.visits:
            event_now_ms = self._rooms.lately.event_now_ms(now_ms)
            visits = kept.visits.until(event_now_ms)
            rooms = self._visited(embeddings, visits.visits, abouts[-len(visits.visits) :])
            past = ViewerPast(kept.profile, visits, rooms, event_now_ms / HOUR_MS % 24)
            streamers = [visit.streamer for visit in visits.visits]
            cached.likened = likened(streamers, np.ones(len(streamers), np.float32), rooms.content_NE)
        cached.viewer = embeddings.model.viewer(past)
        cached.query_E = embeddings.short(cached.viewer.vector_E)

    def _visited(
        self, embeddings: ModelEmbeddings, visits: Sequence[Visit], abouts: Sequence[RoomSnapshot | EndedRoom | None]
    ) -> RoomEmbeddings:
        """Embeddings of the visits' rooms: as they are now, or when they ended, or by streamer alone if forgotten."""
        slots_V = np.full(len(visits), -1, np.int64)
        ended: dict[int, RoomState] = {}
        for place, about in enumerate(abouts):
            if isinstance(about, EndedRoom):
                ended[place] = about.published
            elif about is not None:
                slots_V[place] = about.slot
        rooms = embeddings.rooms.take(np.maximum(slots_V, 0))
        if ended:
            content = partial(self._rooms.content, dimension=embeddings.dimension)
            rooms.put(np.array([*ended]), embeddings.ended(list(ended.values()), content))
        gone = [place for place in np.flatnonzero(slots_V < 0).tolist() if place not in ended]
        if gone:
            rooms.put(np.array(gone), embeddings.alone([visits[place].streamer for place in gone]))
        return rooms


def _with_rules(rules: RulesInForce) -> CachedViewer:
    """A cold-start viewer with rules of their own."""
    return COLD_START if rules is NO_RULES else CachedViewer(InterestProfile(known=False, rules=rules))
