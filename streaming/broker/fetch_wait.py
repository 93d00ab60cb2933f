"""Owns how long a broker may hold back its answer to a fetch. Never sends one, never looks at records.

A consumer has one fetch under way for each broker. What that one does not ask for waits until it is answered: with
nothing new in the others that is the whole of fetch.max.wait. So does every other request on that connection, since a
broker answers one after the other: metadata, and where a position stands in a log that came back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

SOON_MS: Final = 100


def answer_soon(consumer: Any, wanted: Callable[[], bool]) -> None:
    """Shortens the wait of fetches while that is `wanted`, and of those that lack a partition: its position is being
    looked for, or compared. One that is paused is not missed: whoever paused it does not wait for it.
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
