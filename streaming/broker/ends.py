"""Asks through a consumer where partitions end. Never moves a position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from kafka import TopicPartition
from kafka.consumer.fetcher import OffsetSpec
from kafka.errors import UnknownTopicOrPartitionError

ASK_MS: Final = 2_000  # whoever is not answered so long does not know; a fetch will tell


def ask_for_ends(
    consumer: Any, partitions: Collection[TopicPartition], told: Callable[[Mapping[TopicPartition, int]], object]
) -> None:
    """As `ends_of`, told on the consumer's own thread. Never blocks: an answer comes after that of a fetch that waits.

    Where a broker does not answer nothing is told.
    """
    if not partitions:
        return
    fetcher = consumer._fetcher
    ask = fetcher._fetch_offsets_by_times_async
    future = fetcher._manager.call_soon(ask, dict.fromkeys(partitions, OffsetSpec.LATEST), ASK_MS)
    future.add_callback(lambda found: told({there: known.offset for there, known in found.items()}))


def ends_of(
    consumer: Any, partitions: Collection[TopicPartition], timeout_ms: int | None = None
) -> dict[TopicPartition, int]:
    """The offset after the last committed record of each. Blocks. Raises KafkaError.

    Of a partition that is gone, because its topic was made anew with fewer, kafka-python raises a bare KeyError.
    """
    if not partitions:
        return {}
    try:
        found: dict[TopicPartition, int] = consumer.end_offsets(list(partitions), timeout_ms=timeout_ms)
    except KeyError as err:
        raise UnknownTopicOrPartitionError(f"there is no {err} any more") from err
    return found
