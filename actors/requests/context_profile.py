"""The profile that a context amounts to, and the languages that it prefers. Never scores."""

from __future__ import annotations

from actors.requests.context import Context
from actors.state.room_table import RoomTable
from streaming.events import RoomId, StreamerHabit, StreamerId, ViewerId, ViewerProfile, Visit
from training.content.spelling import language_key, speaks

APART_MS = 1_000  # between the visits, which were all just now


def profile_of(context: Context, viewer: ViewerId, rooms: RoomTable, now_ms: int) -> ViewerProfile:
    """The profile of a viewer who was in the recent rooms just now, for a moment each, and is in none.

    An id is that of a room that is live, or is remembered; else it is taken for a streamer's, live or not.
    """
    first_ms = now_ms - APART_MS * len(context.recent)
    visits = [
        _visit(name, rooms, first_ms + APART_MS * place) for place, name in enumerate(reversed(context.recent), start=1)
    ]
    times: dict[StreamerId, list[int]] = {}
    for visit in visits:
        times.setdefault(visit.streamer, []).append(visit.entered_at_ms)
    return ViewerProfile(
        viewer=viewer,
        visits=tuple(visits),
        habits=tuple(
            StreamerHabit(
                streamer, len(at_ms), 0, at_ms[-1], False, first_entered_at_ms=at_ms[0], entered_at_ms=at_ms[-1]
            )
            for streamer, at_ms in times.items()
        ),
        room=None,
        total_visits=len(visits),
        total_events=len(visits),
        first_at_ms=first_ms + APART_MS,
        last_at_ms=now_ms,
        recent_events=(),
        appended_ms=now_ms,
        repeats=len(visits) - len(times),
    )


def preferred_languages(context: Context, rooms: RoomTable) -> frozenset[str]:
    """Keys of the live rooms' languages that are the preferred one, or a kind of it."""
    if context.language is None:
        return frozenset()
    wanted = language_key(context.language)
    return frozenset([language for language, _ in rooms.languages.items() if language and speaks(language, wanted)])


def _visit(name: str, rooms: RoomTable, at_ms: int) -> Visit:
    state = rooms.held(RoomId(name))
    if state is not None:
        return Visit(state.room, state.streamer, at_ms, at_ms, 0, 0, 0, 0)
    live = rooms.roster.of(StreamerId(name))
    room = next(iter(live)) if live else RoomId("")
    return Visit(room, StreamerId(name), at_ms, at_ms, 0, 0, 0, 0)
