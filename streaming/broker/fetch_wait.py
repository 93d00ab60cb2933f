"""The time for which a broker may hold back its answer to a fetch. Never sends a fetch, never reads records.

A consumer has one fetch in flight per broker. Partitions that are not in it wait for its answer: with nothing new in
the others, that is all of fetch.max.wait. Every other request on that connection waits too, because a broker answers
one after the other: metadata, and positions in a log that came back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

SOON_MS: Final = 100


def answer_soon(consumer: Any, wanted: Callable[[], bool]) -> None:
    """Shortens the wait of fetches while `wanted` is true, and of those that lack a partition.

    A partition is lacking while its position is looked up or compared. A paused one does not count.
    """
    fetcher, partitions = consumer._fetcher, consumer._subscription
    create, whole_ms = fetcher._create_fetch_requests, fetcher.config["fetch_max_wait_ms"]

    def created() -> Any:
        asked = set(fetcher._fetchable_partitions())
        soon = wanted() or any(
            there not in asked and not state.paused for there, state in list(partitions.assignment.items())
        )
        fetcher.config["fetch_max_wait_ms"] = min(SOON_MS, whole_ms) if soon else whole_ms
        return create()

    fetcher._create_fetch_requests = created
