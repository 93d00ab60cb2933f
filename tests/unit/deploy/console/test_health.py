"""Tests of deploy.console.health: what is said of processes, lag, freshness and the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.console.health import dead_rooms, encoder, freshness, lag_rows, model, process_rows, total_lag
from deploy.console.history import Figures
from deploy.http.prometheus_text import parse
from deploy.http.status import Post, SystemStatus

AT_MS = 1_700_000_000_000
TROUBLE = {
    "topic": "chat",
    "partition": 3,
    "reader": "room-workers",
    "kind": "damaged",
    "message": "offset 7 is damaged",
}


def status(*details: dict[str, Any], silent_ms: int = 0) -> SystemStatus:
    posts = [
        Post(name="worker", rank=rank, pid=rank, node="n", at_ms=AT_MS - silent_ms, detail=detail)
        for rank, detail in enumerate(details)
    ]
    return SystemStatus(at_ms=AT_MS, processes=posts)


@pytest.mark.parametrize(
    ("detail", "silent_ms", "state", "tone"),
    [
        ({}, 0, "works", "good"),
        ({"error": "no disk"}, 0, "no disk", "bad"),
        ({}, 4_000, "silent for 4.0 s", "bad"),
        ({"standing_by": "host-2"}, 0, "stands by: host-2 does its work", "warn"),
        ({"ready": False}, 0, "starts", "warn"),
        ({"ready": True, "state": "behind", "reason": "9 records"}, 0, "behind: 9 records", "warn"),
    ],
)
def test_each_process_says_how_it_is(detail: dict[str, Any], silent_ms: int, state: str, tone: str) -> None:
    (row,) = process_rows(status(detail, silent_ms=silent_ms))
    assert (row["process"], row["state"], row["tone"]) == ("worker 0", state, tone)


def test_partitions_are_runs_and_the_largest_lag_comes_first() -> None:
    now = status({"partitions": [0, 1, 2, 5], "lag": {"chat": 1, "rooms": 20_000}}, {"lag": None})
    assert process_rows(now)[0]["partitions"] == "0–2, 5"
    assert [(row["topic"], row["lag"]) for row in lag_rows(now)] == [("rooms", "20,000"), ("chat", "1")]
    assert (total_lag(now).value, total_lag(now).tone) == ("20,001", "warn")


def test_a_refused_model_and_replicas_that_differ_are_said() -> None:
    assert model(status({"model_version": "v0", "model_refused": ""})).under == "live in every replica"
    waits = model(status({"model_version": "v0", "model_waits": "m7: waits for the encoder x: 37 %"}))
    assert (waits.under, waits.tone) == ("m7: waits for the encoder x: 37 %", "")
    refused = model(status({"model_version": "v0", "model_refused": "m7: worse by 3 %"}))
    assert (refused.under, refused.tone) == ("refused: m7: worse by 3 %", "warn")
    assert model(status({"model_version": "v0"}, {"model_version": "m7"})).under == "replicas differ"
    assert model(status({})).value == "–"


def test_freshness_is_judged_by_the_promise() -> None:
    assert (freshness(0.25, 1.0).value, freshness(0.25, 1.0).tone) == ("250 ms", "good")
    assert freshness(1.5, 1.0).tone == "warn"
    assert freshness(None, 1.0).value == "–"


def test_rooms_that_wait_for_the_encoder_are_said() -> None:
    kept = Figures(1, 0.2, 0.4, 0.9, texts_per_s=17.0, batches=0.4, answers_per_s=20.0, backlog=3, stale=0)
    assert (encoder(kept).value, encoder(kept).under) == ("17.0 texts/s", "0.4 batches at work, 3 texts wait")
    late = encoder(replace(kept, stale=2))
    assert (late.under.rpartition(", ")[2], late.tone) == ("2 rooms for over 30 s", "warn")


def test_a_dead_room_is_bad() -> None:
    assert dead_rooms(parse("")).tone == "good"
    found = dead_rooms(parse("tidecast_dead_rooms_returned_total 2\n"))
    assert (found.value, found.tone) == ("2", "bad")
