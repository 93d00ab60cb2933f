"""A viewer as the platform sees them: the profile, and what the score reads from it. Never changes either."""

from __future__ import annotations

from actors.answers.schema import KnownViewers, SeenHabit, SeenInterests, SeenViewer, SeenVisit
from actors.recommend.recommender import Recommender
from actors.recommend.viewer_cache import CachedViewer
from actors.state.viewer_taste import InterestProfile
from streaming.errors import RecordError, UnknownViewer
from streaming.events import MAX_ID_LENGTH, ViewerId, ViewerProfile


class SeenViewers:
    """Describes viewers from a replica's tables. Touches no network; any thread may ask."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def latest(self, limit: int) -> KnownViewers:
        """Some viewers who are known here, the latest first."""
        with self._recommender.tables.lock:
            viewers = self._recommender.tables.viewers
            return KnownViewers(held=len(viewers), viewers=[*viewers.latest(limit)])

    def viewer(self, viewer: str) -> SeenViewer:
        """The viewer as of now. Raises UnknownViewer: there is no profile at hand.

        Where the version in force fails on the viewer, its score uses no interests, and none are shown.
        """
        recommender, tables = self._recommender, self._recommender.tables
        with tables.lock:
            now_ms = recommender.now_ms()
            raw = tables.viewers.raw(ViewerId(viewer))
            if raw is None:
                raise _unknown(viewer)
            try:
                profile = tables.viewers.decode(raw)
            except RecordError as err:
                raise _unknown(viewer) from err
            cached = recommender.viewer(ViewerId(viewer), now_ms)
            interests = cached.interests
            return SeenViewer(
                viewer=viewer,
                room=interests.room,
                total_visits=profile.total_visits,
                repeats=profile.repeats,
                total_events=profile.total_events,
                first_at_ms=profile.first_at_ms,
                last_at_ms=profile.last_at_ms,
                generated_at_ms=now_ms,
                model_version=tables.rooms.embeddings.version,
                interests=_interests(cached),
                habits=self._habits(profile, interests),
                visits=self._visits(profile),
            )

    def _habits(self, profile: ViewerProfile, interests: InterestProfile) -> list[SeenHabit]:
        strengths, roster = dict(interests.habits), self._recommender.tables.rooms.roster
        habits = [
            SeenHabit(
                streamer=habit.streamer,
                visits=habit.visits,
                watch_ms=habit.watch_ms,
                chats=habit.chats,
                followed=habit.followed,
                last_at_ms=habit.last_at_ms,
                strength=round(strengths.get(habit.streamer, 0.0), 4),
                live_rooms=[*(roster.of(habit.streamer) or ())],
            )
            for habit in profile.habits
        ]
        return sorted(habits, key=lambda habit: -habit.strength)

    def _visits(self, profile: ViewerProfile) -> list[SeenVisit]:
        live = self._recommender.tables.rooms.snapshots
        return [
            SeenVisit(
                room=visit.room,
                streamer=visit.streamer,
                entered_at_ms=visit.entered_at_ms,
                last_at_ms=visit.last_at_ms,
                watch_ms=visit.watch_ms,
                chats=visit.chats,
                likes=visit.likes,
                gifts=visit.gifts,
                live=visit.room in live,
            )
            for visit in reversed(profile.visits)
        ]


def _interests(cached: CachedViewer) -> SeenInterests:
    interests = cached.interests
    return SeenInterests(
        categories=_rounded(interests.categories),
        languages=_rounded(interests.languages),
        top_categories=[*interests.top_categories],
        similar_to=[*cached.likened.streamers],
        has_vector=cached.query_E is not None,
        last_streamer=interests.origin,
    )


def _rounded(shares: dict[str, float]) -> dict[str, float]:
    """Shares to four digits, the largest first."""
    return {label: round(shares[label], 4) for label in sorted(shares, key=shares.__getitem__, reverse=True)}


def _unknown(viewer: str) -> UnknownViewer:
    return UnknownViewer(f"viewer {viewer[:MAX_ID_LENGTH]!r} has no profile: no event of theirs is known here")
