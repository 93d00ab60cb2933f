"""The partitions that a group gives to a member: from the consumer's thread to the reader's. Never joins a group."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kafka.consumer.subscription_state import ConsumerRebalanceListener

COMMIT_S = 1.0  # a rebalance waits so long for a commit: the group would refuse it afterwards, and a commit takes 10 ms
JOIN_S = 0.2  # a commit waits so long for a rebalance; one that takes longer waits for another member, and accepts it


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps the assignment that the consumer's own thread reports until the next poll takes it.

    A rebalance revokes everything and gives most of it back, with its position: only the difference is a change. A
    lost partition may have been another member's meanwhile, so it is a change even where it comes back. That includes
    one that two rebalances between two polls took away and gave back.

    It also says as whom a reader commits. A group refuses the commits of an earlier generation (KIP-447), so a commit
    and a rebalance wait for each other, and the commit then carries the newest generation. But what a reader writes
    was computed for the partitions that it took last: where one of them was lost since, the commit carries the
    generation in which it had them, and is refused.
    """

    def __init__(self, membership: Callable[[], Any]) -> None:
        """membership: of the consumer, as of now."""
        self._membership = membership
        self._changed = threading.Condition()
        self._held: frozenset[Any] = frozenset()
        self._taken: frozenset[Any] = frozenset()
        self._lost: frozenset[Any] = frozenset()
        self._losses = 0  # how often a partition was lost that had been taken
        self._losses_taken = 0
        self._newest: Any = None
        self._taken_as: Any = None
        self._settled = False
        self._joining = False
        self._commits = 0

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Waits for a commit. The assignment at the rebalance's end shows what is kept."""
        with self._changed:
            self._changed.wait_for(lambda: not self._commits, COMMIT_S)
            self._joining = True

    def on_partitions_lost(self, lost: Any) -> None:
        with self._changed:
            self._lose(frozenset(lost))
            self._held -= frozenset(lost)
            self._settled = True
            self._changed.notify_all()

    def on_partitions_assigned(self, assigned: Any) -> None:
        with self._changed:
            self._held = frozenset(assigned)
            self._lose(self._taken - self._held)
            self._newest = self._membership()
            self._joining = False
            self._settled = True
            self._changed.notify_all()

    def take(self) -> tuple[frozenset[Any], frozenset[Any]] | None:
        """The assigned partitions, and those lost since the last call; None where nothing has changed."""
        with self._changed:
            if not self._settled:
                return None
            self._settled = False
            lost, self._lost = self._lost, frozenset()
            self._taken, self._taken_as, self._losses_taken = self._held, self._newest, self._losses
            return self._held, lost

    def taken_as(self) -> TakenAs | None:
        """The membership of the partitions that were taken last; None before the first."""
        with self._changed:
            return None if self._taken_as is None else TakenAs(self, self._taken_as, self._losses_taken)

    @property
    def is_joining(self) -> bool:
        """Whether the member joins its group again, or has joined with partitions that are not taken yet."""
        with self._changed:
            return self._joining or bool(self._lost)

    # called by TakenAs

    def begin(self, member: Any, losses: int) -> Any:
        """Waits for a rebalance; the newest membership, or `member` where partitions were lost since `losses`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._joining, JOIN_S)
            self._commits += 1
            return self._newest if self._losses == losses else member

    def end(self) -> None:
        """Lets a rebalance go on."""
        with self._changed:
            self._commits -= 1
            self._changed.notify_all()

    def _lose(self, partitions: frozenset[Any]) -> None:
        self._lost |= partitions
        self._losses += bool(partitions)


class TakenAs:
    """The membership as which a reader commits what it computed for its partitions. For one commit, in any thread.

    Within its context no rebalance begins.
    """

    def __init__(self, assignments: Assignments, member: Any, losses: int) -> None:
        self._assignments = assignments
        self._member = member
        self._losses = losses

    def __enter__(self) -> Any:
        return self._assignments.begin(self._member, self._losses)

    def __exit__(self, *_: object) -> None:
        self._assignments.end()
