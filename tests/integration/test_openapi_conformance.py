"""The API does what its OpenAPI document says: Schemathesis asks what the document allows, and what it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.answers.given_rooms import GivenRooms
from actors.answers.seen_viewers import SeenViewers
from actors.answers.trending import Trending
from actors.intake.intake import TAKEN, Intake
from actors.settings import IntakeConfig
from deploy.http.api import Api
from deploy.http.routes.erasure import erasure_routes
from deploy.http.routes.intake import intake_routes
from deploy.http.routes.public import Behind, routes
from streaming.clock import ManualClock
from streaming.events import MAX_AT_MS, ViewerId
from streaming.log.memory_log import MemoryLog
from streaming.metrics import MemoryMetrics
from tests.served_api import served
from tests.unit.actors.replica import AXES, Replica, axis
from tests.unit.deploy.http.called_api import READY

SCHEMATHESIS = Path(sys.executable).with_name("st")
EXAMPLES = 40  # of each operation: some 700 requests in all
# what a schema cannot say: that a cursor is one that the API gave
HOOKS = """
import schemathesis

@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        queries = body.get("queries")
        for one in (body, *(queries if isinstance(queries, list) else ())):
            if isinstance(one, dict) and isinstance(one.get("cursor"), str):
                one["cursor"] = ""
    return body
"""
LANGUAGES, CATEGORIES = ("en", "pt-BR", "ja"), ("music", "Just Chatting")


class NoErasures:
    """Takes erasures, and erases nobody: there is no log."""

    def erase(self, viewer: ViewerId) -> int:
        assert viewer
        return MAX_AT_MS


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a replica with thirty rooms and a viewer."""
    replica = Replica()
    for number in range(30):
        replica.room(
            f"room-{number}",
            title_vector=axis(number % AXES),
            language=LANGUAGES[number % 3],
            category=CATEGORIES[number % 2],
            mature=number % 7 == 0,
            tags=("chess", "chill"),
        )
    replica.viewer("viewer-1", "room-1", "room-2")
    recommender, clock, metrics = replica.recommender, ManualClock(MAX_AT_MS), MemoryMetrics()  # no time is ahead of it
    intake = Intake(MemoryLog(clock, dict.fromkeys(TAKEN, 2)), IntakeConfig(), clock, metrics)
    taking = intake_routes(intake, IntakeConfig(), "127.0.0.1")
    writing = [*taking, *erasure_routes(NoErasures())]
    behind = Behind(
        recommender, GivenRooms(recommender), Trending(recommender), SeenViewers(recommender), writing=writing
    )
    api = Api(routes(behind, lambda: READY), 2_000_000, metrics, request_timeout_s=5.0)
    with served(api) as port:
        yield port


def test_every_operation_keeps_to_the_document(port: int, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "openapi.json").write_text(json.dumps(document(port)))
    url = ["--url", f"http://127.0.0.1:{port}"]
    # a room is live once a RoomWorker has read of it, and the log here has none
    checks = ["--checks", "all", "--exclude-checks", "ensure_resource_availability"]
    found = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            "openapi.json",
            *url,
            *checks,
            "--max-examples",
            str(EXAMPLES),
            "--seed",
            "1",
            "--no-color",
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, shortened(found.stdout) + found.stderr[-2_000:]
    assert "No issues found" in found.stdout


def shortened(text: str) -> str:
    """A report with its long lines cut off."""
    return "\n".join(line[:500] for line in text.splitlines())


def document(port: int) -> dict[str, Any]:
    """The document, without bodies of lines: for these a schema says only that they are text."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as answer:
        found: dict[str, Any] = json.load(answer)
    for methods in found["paths"].values():
        for operation in methods.values():
            content = operation.get("requestBody", {}).get("content", {})
            for kind in [kind for kind in content if kind != "application/json"]:
                del content[kind]
    return found
