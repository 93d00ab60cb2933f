"""What changes in a replica's tables while lists are watched. Never computes a list, never waits.

The thread of the tables notes here what concerns a watched viewer or room; the thread that serves lists takes it.
Nothing is noted, and nothing is called, while nobody watches.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field

from actors.spaces.content_space import RoomSnapshot
from actors.state.table_reader import Tables
from streaming.events import RoomId, ViewerId

MASK = 0xFFFFFFFF  # of a room's hash, the bits by which streams know it


@dataclass(slots=True)
class Taken:
    """What has changed since the last time. gone: rooms that were live, with their hashes. viewers: with news."""

    gone: dict[int, RoomId] = field(default_factory=dict)
    viewers: set[ViewerId] = field(default_factory=set)


class TableChanges:
    """The changes of a replica's tables that matter to watched lists."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._noted = Taken()
        self._journal: set[int] = set()
        self._basis = 0, 0  # versions of the embeddings' basis and of operators' rules
        self._viewers: Container[ViewerId] = ()
        self._rooms: Container[int] = ()
        self._wake: Callable[[], None] = lambda: None

    def watch(self, viewers: Container[ViewerId], rooms: Container[int], wake: Callable[[], None]) -> None:
        """Begins. viewers, rooms: those that are watched at any time, rooms by their hash. wake: is called by the
        tables' thread, under their lock, when one of them has news.
        """
        with self._tables.lock:
            self._viewers, self._rooms, self._wake = viewers, rooms, wake
            self._noted = Taken()
            self._basis = self._versions()
            self._journal = self._tables.rooms.follow(all_rooms=False)
            self._tables.rooms.on_gone.append(self._room_gone)
            self._tables.on_profile.append(self._profile_changed)
            self._tables.on_forgotten.append(self._viewer_forgotten)

    def leave(self) -> None:
        """Ends."""
        with self._tables.lock:
            self._tables.rooms.unfollow(self._journal)
            self._tables.rooms.on_gone.remove(self._room_gone)
            self._tables.on_profile.remove(self._profile_changed)
            self._tables.on_forgotten.remove(self._viewer_forgotten)

    def take(self) -> Taken:
        """The watched viewers and rooms with news since the last call."""
        with self._tables.lock:
            noted, self._noted = self._noted, Taken()
            return noted

    def take_any(self) -> bool:
        """Whether any room, operators' rules, or the version in force have changed since the last call."""
        with self._tables.lock:
            basis, is_changed = self._versions(), bool(self._journal)
            self._journal.clear()
            is_changed, self._basis = is_changed or basis != self._basis, basis
            return is_changed

    def _versions(self) -> tuple[int, int]:
        return self._tables.rooms.basis_version, self._tables.rooms.ruled.version

    def _room_gone(self, snapshot: RoomSnapshot) -> None:
        room = int(self._tables.rooms.id_hash_N[snapshot.slot]) & MASK
        if room in self._rooms:
            self._noted.gone[room] = snapshot.state.room
            self._wake()

    def _profile_changed(self, viewer: ViewerId) -> None:
        if viewer in self._viewers:
            self._noted.viewers.add(viewer)
            self._wake()

    def _viewer_forgotten(self, viewer: ViewerId, _was_erased: bool) -> None:
        self._profile_changed(viewer)
