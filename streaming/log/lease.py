"""A lease: a named place in a group that one process at most has, for as long as it lives. Never commits, never writes.

Unlike a worker's name, which the newest process takes (`claim.py`), a lease stays with the process that has it until
that one leaves, or its session ends: work of hours is not thrown away because another process has started.

A process has the lease while it is the group's static member of that name. Its own silence tells it nothing: a frozen
process believes that it still has the lease. So who is about to change something asks the group first (`require`).
Between that answer and the change a process could still freeze for longer than its session. So what is changed under a
lease must be safe, if wasteful, where two do it.
"""

from __future__ import annotations

import logging
import threading

from streaming.errors import Fenced, LogError, LogUnavailable
from streaming.log.log import LiveMember, Log, Source

LOGGER = logging.getLogger(__name__)

KEEP_S = 0.1  # a poll that keeps the lease waits so long, and `require` waits for the poll
JOIN_S = 1.0  # a poll of a process that joins the group; it joins within a few,
REJOIN_POLLS = 10  # at least after brokers were away


class Lease:
    """One process's lease. Any thread may call it; a call waits for another's to end.

    Call `acquire` until it has the lease, then `keep` about once a second: its session ends where nobody polls.
    """

    def __init__(self, log: Log, topic: str, group: str, name: str) -> None:
        """topic: any topic of one partition. A group's members read one; its records are ignored."""
        self._log = log
        self._topic = topic
        self._group = group
        self._name = name
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._id = ""  # as which the group knows this process; "" while it has not got the lease
        self._own_ids: set[str] = set()  # under which the group knew it
        self._lost = "it was never acquired"
        self.holder: LiveMember | None = None  # the other process that has the lease, as the last look has found

    def acquire(self) -> bool:
        """Tries once to get the lease; whether this process has it. Raises LogError."""
        with self._lock:
            if self._id:
                return self._kept()
            if self._source is None and self._is_another_there():
                return False
            return self._joined()

    def keep(self) -> bool:
        """Keeps the lease; whether this process still has it, as far as it knows. Never raises."""
        with self._lock:
            return bool(self._id) and self._kept()

    def require(self) -> None:
        """Asks the group whether this process has the lease. Raises Fenced: not any more; LogUnavailable: unknown."""
        with self._lock:
            if self._id and self._kept():
                self._compare(self._log.member(self._group, self._name))
            if not self._id:
                raise Fenced(f"the lease {self._name!r} of group {self._group!r} is lost: {self._lost}")

    def release(self) -> None:
        """Leaves the group, so that another process has the lease at once. No effect where this one has it not."""
        with self._lock:
            self._lose("it was released")

    def _is_another_there(self) -> bool:
        found = self._log.member(self._group, self._name)
        other = None if found is None or found.id in self._own_ids else found
        if other is not None and other != self.holder:
            LOGGER.info("%s of %s is a process at %s; this one waits", self._name, self._group, other.host)
        self.holder = other
        return other is not None

    def _joined(self) -> bool:
        """Joins the group; whether it is done."""
        if self._source is None:
            self._source = self._log.group((self._topic,), self._group, self._name)
        try:
            assigned = self._source.poll(JOIN_S).assigned
        except LogError as err:
            self._lose(str(err))
            if isinstance(err, Fenced):
                return False  # another process has begun in the same moment
            raise
        if not assigned:
            return False
        self._id, self._lost = self._source.member_id(), ""
        self._own_ids.add(self._id)
        LOGGER.info("%s of %s is this process", self._name, self._group)
        return True

    def _kept(self) -> bool:
        """Polls once; whether the lease is still this process's, as far as it knows."""
        assert self._source is not None  # it has the lease
        try:
            self._source.poll(KEEP_S)
        except Fenced:
            self._lose("another process has it")
        except LogUnavailable as err:
            self._go_on(err)
        except LogError as err:
            self._lose(str(err))
        else:
            if self._source.member_id() != self._id:
                self._lose("this process was silent for longer than its session, and another may have had it since")
        return bool(self._id)

    def _go_on(self, silence: LogUnavailable) -> None:
        """Joins again after brokers were away. Where the group still has this process, nobody else had the lease."""
        try:
            self._compare(self._log.member(self._group, self._name))
            if self._id:
                self._rejoin()
        except LogUnavailable:
            LOGGER.warning("%s of %s: %s", self._name, self._group, silence)  # nobody can change anything meanwhile
        except LogError as err:
            self._lose(str(err))

    def _rejoin(self) -> None:
        before, self._source, self._id = self._source, None, ""
        if before is not None:
            before.close()
        for _ in range(REJOIN_POLLS):
            if self._joined() or self._source is None:
                break
        if not self._id:
            self._lose("the group did not take this process back after brokers were away")

    def _compare(self, found: LiveMember | None) -> None:
        """Compares with what the group says, and notes where the lease is lost."""
        if found is None:
            self._lose("the session of this process has ended")
        elif found.id != self._id:
            self.holder = found
            self._lose(f"a process at {found.host} has it")

    def _lose(self, reason: str) -> None:
        source, self._source = self._source, None
        if self._id:
            LOGGER.info("%s of %s is not this process any more: %s", self._name, self._group, reason)
        self._id, self._lost = "", reason
        if source is not None:
            self._own_ids.add(source.member_id())
            source.leave()  # by its id: no effect on another process of the name
            source.close()
