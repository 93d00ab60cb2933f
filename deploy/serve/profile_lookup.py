"""Lookups at a ProfileWorker of profiles that this replica has let go. Never answers a request.

A replica keeps the profiles of recently active viewers within a memory budget. As long as all fit in, a viewer without
one is a cold-start viewer and no lookup is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from streaming.events import ViewerId
from streaming.log.partitioner import partition_of
from streaming.metrics import Metrics

if TYPE_CHECKING:
    from actors.settings import RecommendConfig
    from actors.state.table_reader import Tables

LOGGER = logging.getLogger(__name__)

PROFILES = "profiles"  # folder of ProfileWorkers' files, beside a host's metrics

Ask = Callable[[str, int], Awaitable[bytes | None]]


class Lookup:
    """The lookups of one replica, all on its event loop."""

    def __init__(
        self, ask: Ask, partitions: Callable[[], int], tables: Tables, config: RecommendConfig, metrics: Metrics
    ) -> None:
        """ask: gives a viewer's serialised profile by viewer and partition, or None. partitions: of viewer-profiles."""
        self._ask = ask
        self._partitions = partitions
        self._tables = tables
        self._timeout_s = config.lookup_timeout_ms / 1000
        self._most = config.lookups_in_flight if config.lookup_timeout_ms else 0
        self._metrics = metrics
        self._in_flight = 0

    def wanted(self, viewer: str) -> bool:
        """Whether this replica may have let a profile of the viewer go."""
        return self._most > 0 and self._tables.viewers.may_miss(ViewerId(viewer))

    async def fetch(self, viewer: str) -> None:
        """Asks for a profile and puts it into the tables, if it comes in time. Counts the outcome; raises nothing."""
        if self._in_flight >= self._most:
            self._metrics.count("viewer_lookups_total", outcome="refused")
            return
        self._in_flight += 1
        try:
            outcome = await self._fetch(ViewerId(viewer))
        except TimeoutError:
            outcome = "late"
        except Exception as err:  # a killed worker, or an error of it: a cold-start viewer for now
            outcome = "failed"
            LOGGER.debug("asking for a profile: %s", err)
        finally:
            self._in_flight -= 1
        self._metrics.count("viewer_lookups_total", outcome=outcome)

    async def _fetch(self, viewer: ViewerId) -> str:
        partition = partition_of(viewer.encode(), self._partitions())
        value = await asyncio.wait_for(_awaited(self._ask(viewer, partition)), self._timeout_s)
        if value is None:
            return "none"
        self._tables.hold(viewer, value)
        return "found"


async def _awaited(response: Awaitable[bytes | None]) -> bytes | None:
    return await response
