"""Tests that what README and docs tell a reader to type does what they say. Starts a system of its own.

Each line of a code fence that is a command is run here as it stands, but for addresses and names that a reader fills
in, or is listed with the test that runs it. A new line that is in neither list fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from streaming.archive.store import open_store
from streaming.broker import KafkaLog
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.topics import CHAT, ROOM_STATES
from streaming.machine.ports import free_port
from tests.documented import ROOT, blocks, commands
from tests.reference import records_of
from tests.untrained import untrained
from training.registry.bundle import write

VERSION = "2026-01-31"
RUN_ELSEWHERE = {
    "make demo": "tests/e2e/test_demo.py, without make; CI's clone builds the same environment",
    'make demo ARGS="--seconds 20" | cat': "tests/e2e/test_demo.py",
    "make test": "this run",
    "make image": "tests/e2e/image, without make",
    'make image ARGS="torch --cuda"': "by hand: several GB",
    "make image ARGS=--help": "tests/unit/deploy/image/test_build.py, without make",
    "tidecast up": "here, with an archive in its environment",
    "tidecast up --address 10.0.0.5:6379": "tests/e2e/hosts",
    "tidecast console": "tests/integration/test_console.py",
    "tidecast console --url http://10.0.0.5:8000": "tests/integration/test_console.py",
    "tidecast console --viewer v000017": "tests/integration/test_console.py",
    "tidecast keys create shop --file keys.toml": "tests/unit/deploy/commands/test_keys.py",
    "TIDECAST_HTTP__HOST=0.0.0.0 TIDECAST_HTTP__KEYS_FILE=keys.toml tidecast up": "tests/e2e/hosts",
    "curl -s http://10.0.0.5:8000/v1/rooms -H 'Authorization: Bearer tc_...'": "tests/e2e/hosts/test_hosts.py",
    "curl -X DELETE localhost:8000/v1/viewers/viewer-1": "tests/integration/test_app.py",
    "tidecast export backup-monday": "tests/integration/test_transfer.py",
    "tidecast import backup-monday": "tests/integration/test_transfer.py",
    "tidecast export s3://bucket/tidecast/monday --only profiles,models": "tests/integration/test_transfer.py",
    "tidecast rules": "tests/unit/deploy/commands/test_rules.py",
    "tidecast rules put quiet --action bury --language ja --for 7200": "tests/unit/deploy/commands/test_rules.py",
    "tidecast rules put launch --action boost --category Chess --weight 2 --off": (
        "tests/unit/deploy/commands/test_rules.py"
    ),
    "tidecast rules delete quiet": "tests/unit/deploy/commands/test_rules.py",
    "make venv": "this run's environment",
    "tidecast report": "tests/integration/test_report.py",
    "tidecast report --log": "tests/integration/test_report.py",
    "tidecast report --log --json": "tests/integration/test_report.py",
    "tidecast report --from 2026-11-24 --until 2026-12-01 --by version --by day": "tests/integration/test_report.py",
    "python -m tests.bench.alarms --guests 400 --seconds 240 --salts 200 --gain 2": (
        "tests/unit/training/report/test_false_alarms.py, with fewer guests"
    ),
    "git clone … && cd tidecast": "nothing of ours",
    ". .venv/bin/activate": "the shell's own; the commands run from that environment here",
}
RUN_HERE = {
    "export TIDECAST_KAFKA__BOOTSTRAP_SERVERS=broker:9092",
    "tidecast topics",
    "tidecast recommend v000017",
    "tidecast rooms",
    "tidecast status",
    "tidecast letters",
    "tidecast logs",
    "curl -s http://127.0.0.1:8000/openapi.json",
    'curl -s localhost:8000/v1/recommend -d \'{"viewer": "viewer-1", "limit": 5, "filters": {"language": "en"}, '
    '"explain": true}\'',
    "TIDECAST_ARCHIVE__URI=archive tidecast up",
    "tidecast archive run --uri archive --once",
    "tidecast archive ls --uri archive",
    "tidecast models ls",
    "tidecast models publish out/2026-01-31 --live",
    "tidecast models retire VERSION --delete",
    "tidecast models show VERSION --json",
    "tidecast rollback",
    "tidecast evaluate --train A --test B --version VERSION",
    "tidecast k8s render --overlay prod",
    "tidecast k8s write --overlay prod --to installations/live",
    "tidecast k8s secrets --overlay prod",
}


class Shell:
    """A reader's shell: a folder, an environment, and what is typed into it."""

    def __init__(self, folder: Path, kafka: str) -> None:
        self.folder = folder
        self.kafka = kafka
        self.port = free_port()
        binary = folder / "bin"
        binary.mkdir()
        command = binary / "tidecast"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deploy.cli "$@"\n')
        command.chmod(0o755)
        self.environ = {
            **os.environ,
            "PATH": f"{binary}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TIDECAST_HTTP__PORT": str(self.port),
            "TIDECAST_HTTP__ADMIN_PORT": str(free_port()),
        }

    def type(self, line: str) -> str:
        """Types a line as it is documented, this system's addresses in place of the documented ones; what it prints."""
        line = re.sub(r"(?:localhost|127\.0\.0\.1):8000", f"127.0.0.1:{self.port}", line)
        line = re.sub(r"(?:broker|127\.0\.0\.1):9092", self.kafka, line)
        if (exported := re.match(r"export (\w+)=(\S+)$", line)) is not None:
            self.environ[exported[1]] = exported[2]
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    folder = tmp_path_factory.mktemp("documented-kafka")
    with LocalKafka(LocalKafkaConfig(folder=str(folder), port=0, controller_port=0)) as broker:
        yield broker


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, broker: LocalKafka) -> Iterator[Shell]:
    """A shell in which README's "With your own events" has been typed, and a platform has sent events.

    With an archiver in the system, as docs/archive.md starts it: one start for both pages.
    """
    shell = Shell(tmp_path_factory.mktemp("reader"), broker.bootstrap_servers)
    shell.type("export TIDECAST_KAFKA__BOOTSTRAP_SERVERS=broker:9092")
    try:
        shell.type("tidecast topics")
        shell.type("TIDECAST_ARCHIVE__URI=archive tidecast up")
        shell.type("tidecast simulate --rooms 8 --viewers 60 --duration 8 --leave-open")
        yield shell
    finally:
        shell.type("tidecast down")


def until(shell: Shell, line: str, wanted: str) -> str:
    """What a command prints once `wanted` is in it: an answer follows the log by a moment."""
    deadline = time.monotonic() + 60
    while wanted not in (said := shell.type(line)):
        assert time.monotonic() < deadline, f"{line} never printed {wanted!r}, but {said}"
        time.sleep(0.2)
    return said


def recorded_chat(from_ms: int) -> pa.Table:
    """Two windows of chat of three channels."""
    return pa.table(
        {
            "at": pa.array([from_ms + 20_000 * at for at in range(120)], pa.timestamp("ms")),
            "window": pa.array([at // 60 for at in range(120)], pa.int16()),
            "channel": [f"c{at % 3}" for at in range(120)],
            "viewer": [f"v{at % 7}" for at in range(120)],
            "text": [f"hello {at}" for at in range(120)],
        }
    )


def test_every_documented_command_is_run_here_or_named_with_the_test_that_runs_it() -> None:
    documented = {command for _, command in commands()}
    assert documented - RUN_HERE - RUN_ELSEWHERE.keys() == set(), "a documented command that no test runs"
    assert (RUN_HERE | RUN_ELSEWHERE.keys()) - documented == set(), "a test of a command that is documented no more"


def test_manifests_are_printed_and_written(tmp_path: Path, broker: LocalKafka) -> None:
    """An API server takes them in tests/integration/test_k8s_api.py."""
    shell = Shell(tmp_path, broker.bootstrap_servers)
    printed = list(yaml.safe_load_all(shell.type("tidecast k8s render --overlay prod")))
    assert {"RayService", "Kafka", "NetworkPolicy", "PodDisruptionBudget"} <= {one["kind"] for one in printed}
    shell.type("tidecast k8s write --overlay prod --to installations/live")
    assert (tmp_path / "installations" / "live" / "kustomization.yaml").is_file()
    assert "tidecast-gcs" in shell.type("tidecast k8s secrets --overlay prod")


def test_asking_while_it_runs(shell: Shell) -> None:
    assert "8 rooms live" in until(shell, "tidecast recommend v000017", "8 rooms live")
    assert len(shell.type("tidecast rooms").splitlines()) == 9
    assert "room-worker 0" in shell.type("tidecast status")
    assert "no record was refused" in shell.type("tidecast letters")
    assert "room-worker-0 begins" in shell.type("tidecast logs")
    assert json.loads(shell.type("curl -s http://127.0.0.1:8000/openapi.json"))["openapi"].startswith("3.")
    (recommend,) = (command for page, command in commands() if page == "README.md" and "/v1/recommend" in command)
    answer = json.loads(shell.type(recommend))
    assert answer["viewer"] == "viewer-1"
    assert len(answer["rooms"]) <= 5
    assert {room["language"][:2] for room in answer["rooms"]} <= {"en"}
    assert all(room["terms"] for room in answer["rooms"])


def test_every_way_to_ask_is_answered_as_documented(shell: Shell) -> None:
    documented = [block for block in blocks() if block.page == "docs/asking.md"]
    pairs = [(ask, told) for ask, told in pairwise(documented) if (ask.language, told.language) == ("sh", "text")]
    assert len(pairs) == 20
    for ask, told in pairs:
        answer = json.loads(shell.type(ask.text))
        is_problem = isinstance(answer, dict) and "status" in answer
        if "/v1/viewers/" not in ask.text:  # whoever is documented need not be known here
            assert is_problem == ('"status": 4' in told.text and "results" not in told.text), f"{ask.text}\n{answer}"
    ((watch, _),) = [pair for pair in pairwise(documented) if pair[1].language == "http"]
    assert "\nevent: list\n" in shell.type(watch.text)
    (program,) = (block.text for block in documented if block.language == "python")
    shell.type(f"{sys.executable} - <<'PROGRAM'\n{program}\nPROGRAM")


@pytest.mark.parametrize(
    ("language", "file", "command"),
    [
        ("sh", "connect.sh", "bash -eu"),
        ("python", "connect.py", sys.executable),
        ("java", "Connect.java", "java"),
        ("go", "connect.go", "go run"),
    ],
    ids=["sh", "python", "java", "go"],
)
def test_a_platform_in_each_language_is_recommended(shell: Shell, language: str, file: str, command: str) -> None:
    if shutil.which(tool := command.split(maxsplit=1)[0]) is None:
        pytest.skip(f"{tool} is not installed")
    (program,) = (block.text for block in blocks() if (block.page, block.language) == ("docs/connect.md", language))
    (shell.folder / file).write_text(program + "\n")
    assert "is recommended" in shell.type(f"TIDECAST_URL=http://127.0.0.1:8000 {command} {file}")
    rooms = json.loads(shell.type("tidecast rooms --json"))
    assert not [room for room in rooms if "first-try" in room["tags"]], "its end is obeyed"


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (apt install kcat)")
def test_kcat_lines_make_a_room_that_is_live(shell: Shell, broker: LocalKafka) -> None:
    (block,) = (block for block in blocks() if block.page == "docs/kafka.md" and block.language == "sh")
    shell.type(block.text)
    assert "Ranked to diamond" in until(shell, "tidecast rooms --category chess", "Ranked to diamond")
    log = KafkaLog(KafkaConfig(bootstrap_servers=broker.bootstrap_servers))
    records = [record for partition in log.partitions(CHAT) for record in records_of(log, partition)]
    assert any(b"what an opening" in (record.value or b"") for record in records)
    assert any(record.key == b"r-81" for p in log.partitions(ROOM_STATES) for record in records_of(log, p))


def test_versions_of_the_models(shell: Shell) -> None:
    encoder = json.loads(shell.type("tidecast rooms --json"))[0]["receipt"]["encoder_version"]
    write(untrained(VERSION, ["ana"], encoder), open_store(str(shell.folder / "out")), VERSION)
    assert "is live" in shell.type("tidecast models publish out/2026-01-31 --live")
    assert VERSION in shell.type("tidecast models ls")
    shown = json.loads(shell.type(f"tidecast models show {VERSION} --json"))
    assert shown["manifest"]["version"] == VERSION
    for day, name in enumerate(("A", "B")):
        pq.write_table(recorded_chat(1_740_000_000_000 + 86_400_000 * day), shell.folder / f"{name}.parquet")
    line = "tidecast evaluate --train A --test B --version VERSION"
    filled = line.replace(" A ", " A.parquet ").replace(" B ", " B.parquet ").replace("VERSION", VERSION)
    assert "ndcg@10" in shell.type(f"{filled} --rankers popularity").lower()
    assert "v0 is live again" in shell.type("tidecast rollback")
    assert "its files are deleted" in shell.type(f"tidecast models retire {VERSION} --delete")


def test_archive_is_filled_listed_and_read(shell: Shell) -> None:
    shell.type("tidecast archive run --uri archive --once")
    assert "chat" in shell.type("tidecast archive ls --uri archive")
    query, *python = (b for b in blocks() if b.page == "docs/archive.md" and b.language in {"sql", "python"})
    programs = [block.text for block in (query, *python) if block.language == "python"]
    (query,) = (block for block in (query, *python) if block.language == "sql")
    hour = min(path.name for path in (shell.folder / "archive" / "topic=chat").iterdir()).removeprefix("hour=")
    said = duckdb.sql(
        re.sub(r"'\d{4}-\d\d-\d\dT\d\d'", f"'{hour}'", query.text).replace("'archive/", f"'{shell.folder}/archive/")
    ).fetchall()
    assert said
    assert sum(messages for _, messages in said) >= 1
    assert all(isinstance(room, str) for room, _ in said)
    for program in programs:
        written = program.replace("s3://bucket/tidecast", "archive") + '\nprint("done")\n'
        done = subprocess.run(
            [sys.executable, "-c", written],
            cwd=shell.folder,
            env=shell.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.stdout.endswith("done\n"), done.stderr


def test_its_archiver_runs_and_logs_stay_when_the_system_has_stopped(shell: Shell) -> None:
    """The last one here: it stops the system."""
    assert "archiver 0" in until(shell, "tidecast status", "archiver 0")
    shell.type("tidecast down")
    logs = shell.type("tidecast logs")
    assert "archiver: wrote topic=" in logs, "it has written nothing"
    assert "archiver-0 has ended" in logs, "the logs of a system that was stopped are kept"
