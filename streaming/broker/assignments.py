"""The partitions that a group gives to a member: from the consumer's thread to the reader's. Never joins a group."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kafka.consumer.subscription_state import ConsumerRebalanceListener


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps the assignment that the consumer's own thread reports until the next poll takes it.

    A rebalance revokes everything and gives most of it back, with its position: only the difference is a change. A
    lost partition may have been another member's meanwhile, so it is a change even where it comes back. That includes
    one that two rebalances between two polls took away and gave back.

    With each assignment it keeps the membership that came with it: the group's generation. What a reader writes was
    computed for the partitions that it took last, so it has to be committed as a member of that generation, or of a
    later one in which all of them are still its own.
    """

    def __init__(self, membership: Callable[[], Any]) -> None:
        """membership: of the consumer, as of now."""
        self._membership = membership
        self._lock = threading.Lock()
        self._held: frozenset[Any] = frozenset()
        self._taken: frozenset[Any] = frozenset()
        self._lost: frozenset[Any] = frozenset()
        self._newest: Any = None
        self._taken_as: Any = None
        self._settled = False

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Does nothing: the assignment at the rebalance's end shows what is kept."""

    def on_partitions_lost(self, lost: Any) -> None:
        with self._lock:
            self._lost |= frozenset(lost)
            self._held -= frozenset(lost)
            self._settled = True

    def on_partitions_assigned(self, assigned: Any) -> None:
        with self._lock:
            self._held = frozenset(assigned)
            self._lost |= self._taken - self._held
            self._newest = self._membership()
            self._settled = True

    def take(self) -> tuple[frozenset[Any], frozenset[Any]] | None:
        """The assigned partitions, and those lost since the last call; None where nothing has changed."""
        with self._lock:
            if not self._settled:
                return None
            self._settled = False
            lost, self._lost = self._lost, frozenset()
            self._taken, self._taken_as = self._held, self._newest
            return self._held, lost

    def member(self) -> Any:
        """The newest membership in which every partition taken last is still the member's own; None before the first.

        The broker refuses an older one where the group has moved on.
        """
        with self._lock:
            return self._taken_as if self._lost else self._newest if self._taken_as is not None else None
