"""Tests that docs/kafka.md says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from deploy.docs.kafka_page import renewed
from streaming.log.codec import Decoder
from streaming.log.topics import TOPICS

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "kafka.md").read_text(encoding="utf-8")


def blocks(kind: str) -> dict[str, str]:
    return dict(re.findall(rf"<!-- {kind}: ([\w-]+) -->\n```json\n(.*?)\n```", PAGE, re.DOTALL))


def test_what_is_made_from_the_code_is_up_to_date() -> None:
    assert renewed(PAGE) == PAGE, "`make docs` brings docs/kafka.md up to date"


def test_the_page_has_the_records_of_every_topic() -> None:
    assert re.findall(r"<!-- records: ([\w-]+) -->", PAGE) == list(TOPICS)


@pytest.mark.parametrize("record", [record for topic in TOPICS.values() for record in topic.records])
def test_every_field_of_a_record_has_a_row(record: type) -> None:
    table = PAGE[PAGE.index(f"**`{record.__name__}`") :].partition("\n\n**")[0].partition("<!-- end")[0]
    rows = re.findall(r"^\|(?: \d+ \|)? `(\w+)` \|", table, re.MULTILINE)
    assert rows == [field.name for field in msgspec.structs.fields(record)]


def test_a_row_says_limits_default_and_meaning() -> None:
    assert "| `room` | text, 1 to 128 characters | required | of the broadcast, new for each |" in PAGE
    assert "| `seconds` | number, from 0 to 86,400 | `0.0` | for `watch`: watched since the previous event" in PAGE
    assert "| `mature` | true or false | unchanged | for adults |" in PAGE
    assert "| 25 | `title_vector` | bytes | empty | of title, category and tags |" in PAGE


def test_a_page_that_lags_behind_is_brought_up_to_date(tmp_path: Path) -> None:
    page = tmp_path / "kafka.md"
    page.write_text(re.sub(r"\| `mature` \| true .*\n", "", PAGE).replace("| `chat` | room |", "| `talk` | room |"))
    done = subprocess.run([sys.executable, "-m", "deploy.docs.kafka_page", str(page)], check=False, cwd=ROOT)
    assert done.returncode == 0
    assert page.read_text() == PAGE


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS.values() if topic.format == "json"])
def test_the_examples_are_records_that_are_read_and_show_every_type(topic: str) -> None:
    records = [Decoder(topic)(line.encode()) for line in blocks("example")[topic].splitlines()]
    assert {type(record) for record in records} == set(TOPICS[topic].records)
