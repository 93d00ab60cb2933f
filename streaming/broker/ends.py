"""Requests the end offsets of partitions through a consumer. Never moves a position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from kafka import TopicPartition
from kafka.consumer.fetcher import OffsetSpec
from kafka.errors import UnknownTopicOrPartitionError

ASK_MS: Final = 2_000  # without an answer the ends stay unknown until a fetch


def ask_for_ends(
    consumer: Any, partitions: Collection[TopicPartition], report: Callable[[Mapping[TopicPartition, int]], object]
) -> None:
    """Requests ends as `ends_of` does, and calls `report` on the consumer's own thread. Never blocks.

    The answer comes after that of a waiting fetch. Where a broker does not answer, `report` is not called.
    """
    if not partitions:
        return
    fetcher = consumer._fetcher
    ask = fetcher._fetch_offsets_by_times_async
    future = fetcher._manager.call_soon(ask, dict.fromkeys(partitions, OffsetSpec.LATEST), ASK_MS)
    future.add_callback(lambda found: report({there: known.offset for there, known in found.items()}))


def ends_of(
    consumer: Any, partitions: Collection[TopicPartition], timeout_ms: int | None = None
) -> dict[TopicPartition, int]:
    """The offset after the last committed record of each. Blocks. Raises KafkaError.

    Where a topic was made anew with fewer partitions, kafka-python raises a bare KeyError, which is translated.
    """
    if not partitions:
        return {}
    try:
        found: dict[TopicPartition, int] = consumer.end_offsets(list(partitions), timeout_ms=timeout_ms)
    except KeyError as err:
        raise UnknownTopicOrPartitionError(f"there is no {err} any more") from err
    return found
