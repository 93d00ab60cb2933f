"""Decides when a process takes the name of a group's member. Never joins a group, never writes.

Two processes want one name when a process is replaced, and for minutes when a platform is upgraded: two whole
installations then read the same topics under the same names. The newest has the name, and there is one hand-over:

- A process that never had the name takes it as soon as it is ready to do the work, or nobody has it.
- A process that lost the name to another stands by. It has the name again once that one has left the group.

A process with an open transaction can also lose its right to write because it was frozen for longer than the
transaction's time limit. Then nobody else has its name, and it goes on after OWN_NAME_S.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from streaming.clock import Clock
from streaming.log.log import LiveMember, Log

LOGGER = logging.getLogger(__name__)

# a process that takes a name opens its transactional sink, which stops the other one's writes, and joins the group
# then. Until it has joined, the group still shows the other one
OWN_NAME_S = 3.0


class Claim:
    """One process's claim to names of a group. For one thread."""

    def __init__(self, log: Log, group: str, clock: Clock) -> None:
        self._log = log
        self._group = group
        self._clock = clock
        self._had: set[str] = set()  # names that this process had once: who has one of them now is newer
        self._own_ids: set[str] = set()  # under which the group knows this process
        self._lost_s = float("-inf")
        self._has_lost = False  # since it last had a name
        self._reported: LiveMember | None = None
        self.holder: LiveMember | None = None  # the other process that has the name, as the last look has found

    def may_take(self, name: str, is_ready: Callable[[LiveMember], bool]) -> bool:
        """Looks once whether this process may take the name now. Blocks for a request. Raises LogUnavailable.

        is_ready: whether this process can do the work of the one that has the name. Asked only where another has it.
        """
        found = self._log.member(self._group, name)
        if found is None or found.id in self._own_ids:
            self.holder = None
            return self._clock.monotonic_s() - self._lost_s >= OWN_NAME_S
        self.holder = found
        if found != self._reported:
            self._reported = found
            does = "takes over once it is ready" if self._is_newer(name) else "stands by until that one has left"
            LOGGER.warning("%s of %s is a process at %s; this one %s", name, self._group, found.host, does)
        return self._is_newer(name) and is_ready(found)

    def has(self, name: str) -> None:
        """Notes that this process has the name now."""
        self._had.add(name)
        self._has_lost = False
        self._reported = self.holder = None

    def had(self, member_id: str) -> None:
        """Notes the id under which the group knew this process, "" where it never joined."""
        if member_id:
            self._own_ids.add(member_id)

    def lost(self) -> None:
        """Notes that this process may write no more: another one may have taken its name."""
        self._has_lost = True
        self._lost_s = self._clock.monotonic_s()

    def _is_newer(self, name: str) -> bool:
        return name not in self._had and not self._has_lost
