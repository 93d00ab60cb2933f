"""Owns the check that docs/kafka.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streaming.codec import Decoder, json_schema
from streaming.topics import DAY_MS, HOUR_MS, TOPICS, Topic

PAGE = (Path(__file__).parents[3] / "docs" / "kafka.md").read_text(encoding="utf-8")


def blocks(kind: str) -> dict[str, str]:
    return dict(re.findall(rf"<!-- {kind}: ([\w-]+) -->\n```json\n(.*?)\n```", PAGE, re.DOTALL))


def test_the_page_has_the_schema_of_every_topic() -> None:
    assert list(blocks("schema")) == list(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_schema_on_the_page_is_the_one_in_force(topic: str) -> None:
    assert json.loads(blocks("schema")[topic]) == json.loads(json.dumps(json_schema(topic))), (
        f"put `tidecast schema {topic}` on the page"
    )


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS.values() if topic.format == "json"])
def test_the_examples_are_records_that_are_read_and_show_every_type(topic: str) -> None:
    records = [Decoder(topic)(line.encode()) for line in blocks("example")[topic].splitlines()]
    assert {type(record) for record in records} == set(TOPICS[topic].records)


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_the_table_is_that_of_the_code(topic: Topic) -> None:
    kept = "compact" if topic.compact else "delete"
    if topic.retention_ms is not None:
        days, rest = divmod(topic.retention_ms, DAY_MS)
        kept += f", {days} d" if not rest else f", {topic.retention_ms // HOUR_MS} h"
    assert f"| `{topic.name}` | {topic.key} | {kept} | {topic.written_by} |" in PAGE
