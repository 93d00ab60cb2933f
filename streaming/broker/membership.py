"""Mends two things of kafka-python's group membership. Never joins or leaves by itself."""

from __future__ import annotations

from typing import Any

from kafka.errors import FencedInstanceIdError


class Membership:
    """Watches the coordinator of one KafkaConsumer (kafka-python 3.0.12).

    A join that is over between two polls is thrown away there and begun again (`join_group_async` takes a task that is
    done for none). Two members whose work between polls takes a while then drive each other through rebalances without
    end; so the result of such a join is kept here until it is taken.

    A heartbeat that is told that another process has taken this member's place only stops heartbeats; the consumer
    reads on for ever. Here it is remembered, and the source says so.
    """

    def __init__(self, coordinator: Any) -> None:
        self.fenced: FencedInstanceIdError | None = None
        self._coordinator = coordinator
        self._joined: tuple[Any, Any] | None = None  # generation and assignment of a join that nobody has taken yet
        self._join, coordinator._do_join_and_sync_async = coordinator._do_join_and_sync_async, self._join_once
        self._beat, coordinator._send_heartbeat_request = coordinator._send_heartbeat_request, self._beat_once
        self._complete, coordinator._on_join_complete_async = coordinator._on_join_complete_async, self._take

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
