"""What is used of kafka-python's private names is listed, is there, and is asked for before it is used."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from streaming.broker import private_names
from streaming.broker.private_names import BATCH, BUILDER, CHECKED, CONSUMER, PRODUCER, RECORDS, missing, require
from streaming.errors import LogError

BROKER = Path(private_names.__file__).parent
LISTED = {name for names in (CONSUMER, PRODUCER, RECORDS, BATCH, BUILDER) for some in names.values() for name in some}


def used() -> dict[str, str]:
    """Private names of other objects, `x._name`, in streaming/broker → where."""
    found: dict[str, str] = {}
    for path in sorted(BROKER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                of_itself = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
                if not of_itself:
                    found[node.attr] = f"{path.name}:{node.lineno}"
    return found


def test_every_private_name_that_is_used_is_listed_and_none_is_listed_in_vain() -> None:
    found = used()
    assert {name: where for name, where in found.items() if name not in LISTED} == {}
    assert {name for name in LISTED if name.startswith("_")} - found.keys() == set()


def test_the_release_that_was_checked_is_the_one_that_is_installed() -> None:
    assert version("kafka-python") == CHECKED, "check the lists against it, then say so in CHECKED"


def test_records_and_their_builders_have_the_names() -> None:
    builder = MemoryRecordsBuilder(2, 0, 1_024)
    builder.append(timestamp=1, key=b"k", value=b"v")
    assert isinstance(builder._builder, DefaultRecordBatchBuilder)
    assert list(missing(builder, BUILDER)) == []
    builder.close()
    records = MemoryRecords(builder.buffer())
    assert list(missing(records, RECORDS)) == []
    batch = records.next_batch()
    assert isinstance(batch, DefaultRecordBatch)
    assert list(missing(batch, BATCH)) == []


def test_a_client_without_a_name_is_refused_with_all_that_it_lacks() -> None:
    fetcher = SimpleNamespace(**dict.fromkeys(name for name in CONSUMER["_fetcher"] if name != "_manager"))
    client = SimpleNamespace(_cluster=SimpleNamespace(), _coordinator=None, _fetcher=fetcher)
    with pytest.raises(LogError) as caught:
        require(client, CONSUMER)
    said = str(caught.value)
    assert "lacks SimpleNamespace._subscription, SimpleNamespace._cluster._partitions" in said
    assert "SimpleNamespace._fetcher._manager" in said
    assert f"kafka-python=={CHECKED}" in said
