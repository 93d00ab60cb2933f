"""Mends four things of kafka-python's group membership. Never joins or leaves by itself."""

from __future__ import annotations

import time
from typing import Any

from kafka.errors import FencedInstanceIdError

SHORTEST_WAIT_S = 0.05


class Membership:
    """Watches the coordinator of one KafkaConsumer (kafka-python 3.0.12).

    A join that is over between two polls is thrown away there and begun again (`join_group_async` takes a task that is
    done for none). Two members whose work between polls takes a while then drive each other through rebalances without
    end; so the result of such a join is kept here until it is taken.

    A heartbeat that is told that another process has taken this member's place only stops heartbeats; the consumer
    reads on for ever. Here it is remembered, and the source says so.

    A consumer whose next heartbeat is due, and is not sent because the member is not joined, polls without waiting: it
    burns a core, and was seen to keep its own background thread from joining. A wait is now SHORTEST_WAIT_S at least
    (heartbeats are sent by that thread, whatever the wait), and `silent_s` says how long there was no heartbeat.

    A coordinator that is not stable and wants no rejoin stays so for ever: its heartbeats are off until a join ends,
    and none is begun. It was seen after some starts among stale static members; `mend` has it join.
    """

    def __init__(self, coordinator: Any) -> None:
        self.fenced: FencedInstanceIdError | None = None
        self._coordinator = coordinator
        self._joined: tuple[Any, Any] | None = None  # generation and assignment of a join that nobody has taken yet
        self._join, coordinator._do_join_and_sync_async = coordinator._do_join_and_sync_async, self._join_once
        self._beat, coordinator._send_heartbeat_request = coordinator._send_heartbeat_request, self._beat_once
        self._complete, coordinator._on_join_complete_async = coordinator._on_join_complete_async, self._take
        self._wait_s, coordinator.time_to_next_poll = coordinator.time_to_next_poll, self._longer_wait_s
        self._began_s = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the coordinator last answered a heartbeat or a join, or since this member began."""
        heartbeat = self._coordinator.heartbeat
        return time.monotonic() - float(max(heartbeat.last_receive, heartbeat.last_reset, self._began_s))

    def forgive(self) -> None:
        """Counts silence from now on."""
        self._began_s = time.monotonic()

    def mend(self) -> None:
        """Has a member that is in no group, on no way into one, and wants into none, join. Call it before each poll."""
        coordinator = self._coordinator
        joining = coordinator._join_task is not None and not coordinator._join_task.is_done
        if not coordinator.need_rejoin() and not coordinator.stable() and not joining:
            coordinator.request_rejoin()

    def _longer_wait_s(self) -> float:
        return max(SHORTEST_WAIT_S, float(self._wait_s()))

    async def _join_once(self) -> Any:
        if self._joined is not None and self._joined[0] == self._coordinator._generation:
            return self._joined[1]
        try:
            assignment = await self._join()
        except FencedInstanceIdError as err:
            self.fenced = err
            raise
        self._joined = self._coordinator._generation, assignment
        return assignment

    async def _take(self, *arguments: Any) -> Any:
        self._joined = None
        return await self._complete(*arguments)

    async def _beat_once(self, *arguments: Any) -> Any:
        try:
            return await self._beat(*arguments)
        except FencedInstanceIdError as err:
            self.fenced = err
            raise
