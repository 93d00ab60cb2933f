"""The private names of kafka-python that streaming/broker uses, and the release with which they were checked.

Another release may rename any of them. Each new client is checked for its names first, so that an error names the
missing one. tests/unit/streaming/broker/test_private_names.py keeps the lists complete.

The public API does not do what they are used for:

- The consumer gives no last stable offset, no time of the broker's last answer, no position without waiting, no end of
  a partition without waiting, and cannot be told to wait less for a fetch. It decodes each record in Python.
- The group's member does not say that another process has taken its place, whether it leads, nor from which address it
  speaks to the group.
- The producer takes one record at a time, waits for a broker without a limit, and loses a transactional request while
  there is none. Batches are packed by us, which is what makes the loops fast enough, and every wait has a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import kafka

from streaming.errors import LogError

CHECKED = "3.0.12"

# Path of an object from its client → names used of it.
CONSUMER: Mapping[str, tuple[str, ...]] = {
    "": ("_cluster", "_coordinator", "_fetcher", "_subscription"),
    "_cluster": ("_partitions",),
    "_coordinator": (
        "_do_join_and_sync_async",
        "_generation",
        "_is_leader",
        "_join_task",
        "_manager",
        "_on_join_complete_async",
        "_send_heartbeat_request",
        "need_rejoin",
        "rejoining",
    ),
    "_coordinator._manager": ("_conns",),
    "_fetcher": (
        "PartitionRecords",
        "_create_fetch_requests",
        "_fetch_offsets_by_times_async",
        "_fetchable_partitions",
        "_handle_fetch_response",
        "_manager",
    ),
}
PRODUCER: Mapping[str, tuple[str, ...]] = {
    "": ("_accumulator", "_closed", "_metadata", "_sender", "_transaction_manager"),
    "_accumulator": ("_batches", "_incomplete", "_tp_lock"),
    "_sender": ("_client",),
    "_sender._client": ("await_ready",),
}
RECORDS: Mapping[str, tuple[str, ...]] = {"": ("_buffer",)}  # of MemoryRecords
BATCH: Mapping[str, tuple[str, ...]] = {"": ("_buffer", "_pos")}  # of DefaultRecordBatch
BUILDER: Mapping[str, tuple[str, ...]] = {  # of MemoryRecordsBuilder
    "": ("_builder", "_next_offset"),
    "_builder": ("_buffer", "_first_timestamp", "_last_offset", "_max_timestamp", "_num_records"),
}


def require(client: object, names: Mapping[str, tuple[str, ...]]) -> None:
    """Raises LogError where an object lacks a name that is used."""
    if lacking := list(missing(client, names)):
        raise LogError(
            f"kafka-python {kafka.__version__} lacks {', '.join(lacking)}, which Tidecast uses; "
            f"install the release that it was tested with: kafka-python=={CHECKED}"
        )


def missing(client: object, names: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    """Each missing name, with its path from the client. An absent object (None) lacks nothing."""
    for way, wanted in names.items():
        there = client
        for step in filter(None, way.split(".")):
            there = getattr(there, step, None)
        if there is None:
            continue
        for name in wanted:
            if not hasattr(there, name):
                yield ".".join(filter(None, (type(client).__name__, way, name)))
