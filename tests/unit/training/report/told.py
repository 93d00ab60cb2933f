"""Records of answers and of what viewers did, which read like a story. No test is here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streaming.events import Action, Assignment, Impression, RoomId, ViewerErased, ViewerEvent, ViewerId
from streaming.log.topics import IMPRESSIONS, VIEWER_EVENTS
from training.examples.event_stream import StreamRecord
from training.report.attribution import Attribution, Joined

START_MS = 1_764_000_000_000
WINDOW_S = 600


def ms(at_s: float) -> int:
    """A time of the story, in ms since 1970."""
    return START_MS + round(1_000 * at_s)


def shown(
    at_s: float,
    viewer: str,
    *rooms: str,
    request_id: str = "",
    appended_s: float | None = None,
    experiments: Sequence[tuple[str, str]] = (),
    **changes: Any,
) -> StreamRecord:
    """An answer, by default with an id of its viewer and time."""
    impression = Impression(
        request_id=request_id or f"{viewer}@{at_s:g}",
        viewer=ViewerId(viewer),
        rooms=tuple(RoomId(room) for room in rooms),
        scores=(1.0,) * len(rooms),
        propensities=(1.0,) * len(rooms),
        at_ms=ms(at_s),
        experiments=tuple(Assignment(*one) for one in experiments),
        **{"model_version": "v0", "sources": ("new",) * len(rooms), **changes},
    )
    return StreamRecord(ms(at_s if appended_s is None else appended_s), IMPRESSIONS, 0, impression)


def did(
    at_s: float, viewer: str, action: Action, room: str, *, appended_s: float | None = None, **changes: Any
) -> StreamRecord:
    """What a viewer did."""
    event = ViewerEvent(viewer=viewer, room=room, streamer=f"of {room}", action=action, at_ms=ms(at_s), **changes)
    return StreamRecord(ms(at_s if appended_s is None else appended_s), VIEWER_EVENTS, 0, event)


def erased(at_s: float, viewer: str) -> StreamRecord:
    """A viewer's erasure."""
    return StreamRecord(ms(at_s), VIEWER_EVENTS, 0, ViewerErased(viewer=viewer, at_ms=ms(at_s)))


def joined(*records: StreamRecord, window_s: int = WINDOW_S, until_ms: int | None = None) -> Joined:
    """The records joined, in the order of their append times."""
    attribution = Attribution(window_s, until_ms=until_ms)
    for record in sorted(records, key=lambda record: record.at_ms):
        attribution.apply(record)
    return attribution.joined()
