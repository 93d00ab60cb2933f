"""The API does what its OpenAPI document says: Schemathesis asks what the document allows, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from actors.answers.known_rules import KnownRules
from actors.intake.intake import TAKEN, Intake
from actors.requests.text_vectors import TextVector
from actors.rules.book import OperatorRules
from actors.settings import IntakeConfig, RecommendConfig
from actors.streams.table_changes import TableChanges
from deploy.config.stream_settings import StreamConfig
from deploy.http.api import Api
from deploy.http.routes.erasure import erasure_routes
from deploy.http.routes.intake import intake_routes
from deploy.http.routes.models import ListedVersion, ListedVersions, Promoted, RolledBack, model_routes
from deploy.http.routes.public import routes
from deploy.http.routes.rules import rule_routes
from deploy.http.streams.streams import Streams
from streaming.clock import ManualClock
from streaming.errors import VersionError
from streaming.events import MAX_AT_MS, ViewerId
from streaming.log.codec import encode
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import RULES
from streaming.metrics import MemoryMetrics
from streaming.operator_rule import RuleBody, rule_of
from tests.answers_behind import answers_behind
from tests.served_api import served
from tests.unit.actors.replica import AXES, Replica, axis, text_vector
from tests.unit.deploy.http.called_api import READY

SCHEMATHESIS = Path(sys.executable).with_name("st")
EXAMPLES = 40  # of each operation: some 700 requests in all
# what a schema cannot say: bounds that contradict each other are refused, so are a cursor and axes that the API did not
# give, a text that says nothing, and a rule that names no room
RELATED = ("listRooms", "similarRooms", "trending", "search", "recommend", "rank", "streamList", "mapRooms", "putRule")
STREAM_S = 0.01  # after which a stream ends here, whatever is asked for: an answer without end could not be checked
# nor that a record is read as workers read it: what they mend is taken, what they would refuse later is refused here
TAKING = ("writeRooms", "writeChat", "writeViewerEvents")
# and what the configuration has outlives a DELETE
RULES_READ = ("listRules", "getRule", "deleteRule")
VALID, INVALID = "positive_data_acceptance", "negative_data_rejection"
LANGUAGES, CATEGORIES = ("en", "pt-BR", "ja"), ("music", "Just Chatting")


class NoVersions:
    """Lists one version, which is live; knows no other."""

    def listed(self) -> ListedVersions:
        return ListedVersions(
            answers="v0", versions=[ListedVersion(version="m1", state="live", at_ms=1, metrics={"gain": 0.1})]
        )

    def promote(self, version: str) -> Promoted:
        if version != "m1":
            raise VersionError(f"no version {version!r} was published; known are: m1")
        return Promoted(version=version, reason="m1 is live already")

    def rollback(self) -> RolledBack:
        return RolledBack(was="m1", live="v0")


class KnownTexts:
    """Gives each text the vector of one of the axes."""

    def held(self, text: str) -> TextVector | None:
        return text_vector(len(text) % AXES) if len(text) % 2 else None

    async def fetch(self, text: str) -> TextVector:
        return text_vector(len(text) % AXES)


class NoErasures:
    """Takes erasures, and erases nobody: there is no log."""

    def erase(self, viewer: ViewerId) -> int:
        assert viewer
        return MAX_AT_MS


class ReplicasRules:
    """Puts rules as the log would bring them to a replica, which knows one of them from its configuration as well."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        finals = rule_of("finals", RuleBody(action="pin", rooms=("room-1",)), MAX_AT_MS)  # the example of a name
        replica.tables.rules = OperatorRules(
            {"finals": finals}, lambda rules: replica.tables.rooms.ruled.force(rules, replica.tables.rooms)
        )

    def put(self, name: str, body: RuleBody) -> int:
        self._replica.send(RULES, name, encode(rule_of(name, body, MAX_AT_MS)))
        return MAX_AT_MS

    def delete(self, name: str) -> int:
        self._replica.send(RULES, name, None)
        return MAX_AT_MS


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a replica with thirty rooms and a viewer."""
    replica = Replica(config=RecommendConfig(shown_cost=0.5))
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
    streams = Streams(recommender, TableChanges(replica.tables), StreamConfig(max_s=STREAM_S), metrics)
    intake = Intake(MemoryLog(clock, dict.fromkeys(TAKEN, 2)), IntakeConfig(), clock, metrics)
    taking = intake_routes(intake, IntakeConfig(), "127.0.0.1")
    writing = [*taking, *erasure_routes(NoErasures()), *model_routes(NoVersions())]
    writing += rule_routes(KnownRules(recommender), ReplicasRules(replica))
    behind = answers_behind(recommender, replica.clock, KnownTexts(), writing=writing, streams=streams)
    api = Api(routes(behind, lambda: READY), 2_000_000, metrics, request_timeout_s=5.0)
    with served(api) as port:
        yield port


@pytest.mark.parametrize(
    ("operations", "but"),
    [((), ()), (RELATED, (VALID,)), (TAKING, (VALID, INVALID)), (RULES_READ, ("use_after_free",))],
    ids=["all others", "related fields", "records", "rules"],
)
def test_every_operation_keeps_to_the_document(
    port: int, tmp_path: Path, operations: Sequence[str], but: Sequence[str]
) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document(port)))
    which = [word for one in operations for word in ("--include-operation-id", one)]
    if not operations:
        which = [word for one in (*RELATED, *TAKING, *RULES_READ) for word in ("--exclude-operation-id", one)]
    # a room is live once a RoomWorker has read of it, and the log here has none
    checks = ["--checks", "all", "--exclude-checks", ",".join(["ensure_resource_availability", *but])]
    options = ["--url", f"http://127.0.0.1:{port}", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"]
    found = subprocess.run(
        [SCHEMATHESIS, "run", "openapi.json", *which, *checks, *options],
        cwd=tmp_path,
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
