"""Whether a viewer's list has changed materially since a client was shown it. Never computes a list.

Scores move with every message, so the order of near equals changes all the time. A list that is pushed for each of
these changes would flicker under the viewer's hand. A change is material if

- a room of the list is gone: ended, not to be shown any more, or fallen behind the list and a margin after it;
- a room is new in the list and above that margin before its end, or the list had a free place for it;
- one of the first three places has another room that came from, or whose room went, two places or more away.

The margin is a fifth of the list. A room at its edge that comes and goes is no news. Places are compared and not
scores: these have another scale with each version of the models, and places are what a viewer sees.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.recommend.schema import MAX_LIMIT

FIRST = 3  # places that a viewer looks at: their order counts
MOVED = 2  # places: two neighbours that are changed round are near equals
MARGIN = 5  # a list by its margin


def margin_of(limit: int) -> int:
    """The places before and after the end of a list in which rooms come and go unnoticed."""
    return min(limit // MARGIN, MAX_LIMIT - limit)


def is_material(held: Sequence[int], found: Sequence[int], limit: int) -> bool:
    """Whether `found` is news to who has `held`. Both are hashes of rooms in order.

    found: `margin_of(limit)` more rooms than the limit, where there are so many. held: at most `limit`.
    """
    place_of = {room: place for place, room in enumerate(found)}
    if any(room not in place_of for room in held):
        return True
    was_at = {room: place for place, room in enumerate(held)}
    sure = limit if len(held) < limit else limit - margin_of(limit)
    if any(room not in was_at for room in found[:sure]):
        return True
    came = (was_at[room] - place for place, room in enumerate(found[:FIRST]) if room in was_at)
    went = (place_of[room] - place for place, room in enumerate(held[:FIRST]))
    return any(places >= MOVED for places in (*came, *went))
