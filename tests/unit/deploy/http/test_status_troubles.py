"""Partitions that are not read, as people see them: `tidecast status`, its exit code, the body of /readyz."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from rich.console import Console

from actors.rooms.worker import RoomWorkerStatus
from deploy.cli import main
from deploy.commands import status as command
from deploy.http.client import Client
from deploy.http.prometheus_text import parse
from deploy.http.status import Board, Post, Readiness, SystemStatus, judge, troubles_of
from streaming.clock import ManualClock
from streaming.troubles import Trouble

CODEC = Trouble("chat", 2, 40, "codec", "offset 40: a batch is packed with [codec 5]", "room-workers")
READY = Readiness(ready=True, reason="", lag={}, contact_age_s=0.1, live_rooms=3, troubles=[CODEC])
METRICS = "# HELP tidecast_x x\n# TYPE tidecast_x gauge\ntidecast_x 1\n"


class MemoryStore:
    """What lies on the board."""

    def __init__(self) -> None:
        self.lying: dict[str, bytes] = {}

    def put(self, key: str, value: bytes) -> None:
        self.lying[key] = value

    def values(self) -> list[bytes]:
        return list(self.lying.values())


def said(*workers: RoomWorkerStatus) -> SystemStatus:
    board = Board(MemoryStore(), ManualClock())
    for rank, worker in enumerate(workers):
        board.write("room-worker", rank, 100 + rank, "0", dataclasses.asdict(worker))
    return board.read()


def test_a_replica_that_answers_while_a_partition_is_not_read_says_which_and_stays_asked() -> None:
    current = {"has_read": True, "contact_age_s": 0.1, "lag": 0, "ready_contact_s": 10.0, "unready_contact_s": 900.0}
    state, ready, reason = judge(**current, troubles=[CODEC])
    assert (state, ready) == ("troubled", True)
    assert "chat-2" in reason
    away = judge(**{**current, "contact_age_s": 20.0}, troubles=[CODEC])
    assert away[0] == "out of touch", "that Kafka is away is the worse of the two"


def test_what_a_worker_says_travels_over_the_board_and_comes_out_once() -> None:
    troubled = RoomWorkerStatus("room-worker-0", troubles=(CODEC,))
    assert troubles_of(said(troubled, RoomWorkerStatus("room-worker-1"), troubled)) == [CODEC]
    assert troubles_of(said(RoomWorkerStatus("room-worker-0"))) == []


def test_the_body_of_readyz_names_the_partition_and_a_client_reads_it_back() -> None:
    body = json.loads(msgspec.json.encode(READY))
    assert body["troubles"] == [dataclasses.asdict(CODEC)]
    assert msgspec.json.decode(msgspec.json.encode(READY), type=Readiness) == READY


def test_status_prints_where_what_and_by_whom_below_the_table() -> None:
    text = io.StringIO()
    command.show(Console(file=text, width=300), said(RoomWorkerStatus("room-worker-0", troubles=(CODEC,))))
    last = text.getvalue().splitlines()[-1]
    assert last == "chat partition 2, read by room-workers: offset 40: a batch is packed with [codec 5]"


@pytest.mark.parametrize(("troubles", "code"), [((), 0), ((CODEC,), 1)])
def test_the_exit_code_says_whether_every_partition_is_read(
    troubles: tuple[Trouble, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = said(RoomWorkerStatus("room-worker-0", troubles=troubles))
    for name, answer in answers(status).items():
        monkeypatch.setattr(Client, name, lambda _self, answer=answer: answer)

    assert main(["status"]) == code
    assert ("chat partition 2" in " ".join(capsys.readouterr().out.split())) == bool(troubles)
    assert main(["status", "--json"]) == code


def answers(status: SystemStatus) -> Mapping[str, Any]:
    return {"status": status, "readiness": msgspec.structs.replace(READY, troubles=[]), "metrics": METRICS}


def test_a_post_of_a_build_before_troubles_is_read() -> None:
    post = Post(name="room-worker", rank=0, pid=1, node="0", at_ms=0, detail={"lag": {}})
    assert troubles_of(SystemStatus(at_ms=0, processes=[post])) == []


def test_status_counts_what_was_forwarded_by_topic_and_partitioner() -> None:
    text = (
        "# HELP tidecast_records_forwarded_total x\n# TYPE tidecast_records_forwarded_total counter\n"
        'tidecast_records_forwarded_total{topic="chat",partitioner="crc32"} 1234\n'
    )
    lines = command.refusal_lines(command.refusals(parse(text)))
    assert lines == ["forwarded since the start: 1,234 of chat (partitioner crc32)"]


def test_status_counts_what_was_lost_and_says_which_offsets() -> None:
    text = (
        "# HELP tidecast_log_offsets_skipped_total x\n# TYPE tidecast_log_offsets_skipped_total counter\n"
        'tidecast_log_offsets_skipped_total{reader="room-workers",topic="chat",reason="deleted"} 6\n'
    )
    lines = command.refusal_lines(command.refusals(parse(text)))
    assert lines == ["lost since the start: 6 of chat (reader room-workers, reason deleted)"]
    shown = io.StringIO()
    worker = RoomWorkerStatus("room-worker-0", lost="chat-0 offsets 1 to 6 (deleted)")
    command.show(Console(file=shown, width=400), said(worker))
    assert "lost chat-0 offsets 1 to 6 (deleted)" in shown.getvalue()


def test_a_replica_that_found_a_topic_made_anew_says_so_in_readyz_and_in_its_row() -> None:
    anew = msgspec.structs.replace(READY, anew="room-states since 12:00:00 UTC")
    assert json.loads(msgspec.json.encode(anew))["anew"] == "room-states since 12:00:00 UTC"
    board = Board(MemoryStore(), ManualClock())
    board.write("recommender", 0, 1, "0", msgspec.to_builtins(anew))
    shown = io.StringIO()
    command.show(Console(file=shown, width=400), board.read())
    assert "anew room-states since 12:00:00 UTC" in shown.getvalue()
