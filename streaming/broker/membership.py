"""Corrects five faults of kafka-python's group membership. Never joins or leaves by itself."""

from __future__ import annotations

import time
from typing import Any

from kafka.errors import FencedInstanceIdError

SHORTEST_WAIT_S = 0.05


class Membership:
    """Corrects the coordinator of one KafkaConsumer (kafka-python 3.0.12).

    1. A join that completes between two polls is discarded and begun again (`join_group_async` ignores a task that is
    done). Two members with long work between polls then cause each other's rebalances without end. So the result of
    such a join is kept here until it is taken.

    2. Where a heartbeat's answer is that another process has taken this member's place, only heartbeats stop; the
    consumer reads on for ever. Here `fenced` keeps the error, and the source raises it.

    3. While a heartbeat is due that is not sent, because the member is not joined, the consumer polls without waiting.
    That takes a whole core, and was seen to keep the consumer's own thread from joining. A wait is now at least
    SHORTEST_WAIT_S (that thread sends heartbeats anyway), and `silent_s` is the time without a heartbeat.

    4. A poll begins a rebalance within the same call in which it hears of one, so that its caller cannot commit before.
    Here such a poll returns as always, `waits_to_rejoin` is true, and the next poll begins the rebalance (`allow`).

    5. A coordinator that is not stable and wants no rejoin stays so for ever: its heartbeats are off until a join
    completes, and none begins. It was seen after some starts among stale static members; `mend` makes it join.
    """

    def __init__(self, coordinator: Any) -> None:
        self.fenced: FencedInstanceIdError | None = None
        self._coordinator = coordinator
        self._joined: tuple[Any, Any] | None = None  # generation and assignment of a join that is not taken yet
        self._join, coordinator._do_join_and_sync_async = coordinator._do_join_and_sync_async, self._join_once
        self._beat, coordinator._send_heartbeat_request = coordinator._send_heartbeat_request, self._beat_once
        self._complete, coordinator._on_join_complete_async = coordinator._on_join_complete_async, self._take
        self._wait_s, coordinator.time_to_next_poll = coordinator.time_to_next_poll, self._longer_wait_s
        self._needs, coordinator.need_rejoin = coordinator.need_rejoin, self._may_rejoin
        self._began_s = time.monotonic()
        self._holds = self._is_allowed = False
        self.waits_to_rejoin = False

    @property
    def silent_s(self) -> float:
        """Seconds since the coordinator last answered a heartbeat or a join, or since this member began."""
        heartbeat = self._coordinator.heartbeat
        return time.monotonic() - float(max(heartbeat.last_receive, heartbeat.last_reset, self._began_s))

    def host(self) -> str:
        """This process's IP address on its connection to the group's coordinator, "" where there is none."""
        coordinator = self._coordinator
        connection = coordinator._manager._conns.get(coordinator.coordinator_id)
        transport = None if connection is None else connection.transport
        try:
            return "" if transport is None else str(transport.getHost()[0])
        except OSError:  # it is closed
            return ""

    def forgive(self) -> None:
        """Restarts the count of silence."""
        self._began_s = time.monotonic()

    def hold(self) -> None:
        """From now on rebalances wait for the poll after the one that hears of them."""
        self._holds = True

    def allow(self) -> None:
        """Lets a rebalance begin that waits. Call it at the start of each poll."""
        self._is_allowed, self.waits_to_rejoin = self.waits_to_rejoin, False

    def _may_rejoin(self) -> bool:
        if not self._needs():
            return False
        coordinator = self._coordinator
        if self._is_allowed or not self._holds or coordinator.rejoining or coordinator._generation.is_lost():
            return True
        self.waits_to_rejoin = True
        return False

    def mend(self) -> None:
        """Makes a member join that is in no group, and neither joins nor tries to. Call it before each poll."""
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
