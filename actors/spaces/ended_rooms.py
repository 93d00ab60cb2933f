"""The memory of ended rooms, for what viewers liked. Never says that a room is live.

What came is kept, and each space keeps how its encoder has read it. A room that the space in use has not looked at yet
is looked at when somebody asks for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from actors.spaces.content_space import ContentSpace, EndedRoom
from streaming.events import RoomId, RoomState

MAX_ENDED = 50_000  # rooms that ended within the hour, still remembered for viewers' interest profiles


class EndedRooms:
    """Ended rooms as the space in use shows them. The caller holds the tables' lock."""

    def __init__(self, space: ContentSpace) -> None:
        self.space = space  # in use
        self._published: OrderedDict[RoomId, RoomState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._published)

    def __iter__(self) -> Iterator[RoomId]:
        return iter(self._published)

    def add(self, state: RoomState) -> None:
        """Remembers a room that has ended; the one that ended first is forgotten where there are too many."""
        self._published.pop(state.room, None)
        self._published[state.room] = state
        self.space.end([state])
        if len(self._published) > MAX_ENDED:
            self.pop(next(iter(self._published)))

    def get(self, room: RoomId) -> EndedRoom | None:
        """The room as the encoder of the space in use has read it; None where it is unknown."""
        published = self._published.get(room)
        if published is None:
            return None
        ended = self.space.ended.get(room)
        if ended is None or ended.published is not published:
            self.space.end([published])
            ended = self.space.ended[room]
        return ended

    def states(self) -> list[RoomState]:
        """The rooms' states as they came, the one that ended first at the head."""
        return [*self._published.values()]

    def pop(self, room: RoomId) -> None:
        """Forgets a room, if it is remembered."""
        self._published.pop(room, None)
        self.space.ended.pop(room, None)
