"""Tests of what Archiver and Trainer ask of others, so that those who answer viewers wait less for it.

Serve, Kafka and the loops are left out: the integration tests have them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from actors.rooms.encoder_client import Encoded
from deploy.config.settings import Settings
from streaming.clock import ManualClock
from streaming.errors import EncoderError, Fenced
from streaming.kafka_config import KafkaConfig
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import MODELS
from streaming.metrics import MemoryMetrics
from tests.unit.training.inference.versions import bundle
from training.content.precision import Choice

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's, while it is imported


class Parts:
    """What a replica's base gives, and what it was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from deploy.serve.replica import Replica  # noqa: PLC0415  seconds of imports, and their warnings

        self.opened: list[KafkaConfig] = []
        self.loops: list[Any] = []

        def begin(replica: Any, settings: Settings, _local: bool) -> None:
            replica.settings, replica.metrics, replica.clock = settings, MemoryMetrics(), ManualClock()

        def log(kafka: KafkaConfig, _prefix: str, **_: bool) -> Any:
            self.opened.append(kafka)
            return MemoryLog(ManualClock(), {MODELS: 1})

        monkeypatch.setattr(Replica, "__init__", begin)
        monkeypatch.setattr(Replica, "run", lambda _self, loop, *_: self.loops.append(loop))
        monkeypatch.setattr("deploy.serve.replica.KafkaLog", log)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    return Parts(monkeypatch)


def settings(folder: Path) -> Settings:
    plain = Settings()
    return replace(
        plain,
        archive=replace(plain.archive, uri=str(folder / "archive")),
        registry=replace(plain.registry, uri=str(folder / "models")),
    )


def of_serve(replica: Any) -> Any:
    """The class without its end, which only Serve can await."""
    return type(replica.__name__, (replica,), {"__del__": lambda _self: None})


def test_trainers_texts_give_way_to_those_of_rooms(parts: Parts, tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def method(name: str) -> Any:
        async def remote(texts: Sequence[str], _encoder: str) -> Encoded:
            asked.append((name, len(texts)))
            return Encoded(np.zeros((len(texts), 4), np.float16), "v")

        return SimpleNamespace(remote=remote)

    async def ask() -> None:
        from deploy.serve.background_replicas import TrainerReplica  # noqa: PLC0415

        handle: Any = SimpleNamespace(encode=method("at once"), encode_later=method("later"))
        of_serve(TrainerReplica)(settings(tmp_path), True, handle)
        trainer = parts.loops[0].__self__
        await asyncio.to_thread(trainer._encoder.submit(["a", "b"]).result, 10.0)

    asyncio.run(ask())
    assert asked == [("later", 2)]


def test_a_trainer_on_a_busy_machine_does_not_lose_its_lease_within_seconds(parts: Parts, tmp_path: Path) -> None:
    from deploy.serve.background_replicas import ArchiverReplica, TrainerReplica  # noqa: PLC0415

    async def open_both() -> None:
        of_serve(TrainerReplica)(settings(tmp_path), True, SimpleNamespace(encode_later=SimpleNamespace(remote=None)))
        of_serve(ArchiverReplica)(settings(tmp_path), True)

    asyncio.run(open_both())
    assert [kafka.session_timeout_s for kafka in parts.opened] == [30.0, 6.0]


def test_a_trainer_without_its_lease_changes_nothing(parts: Parts, tmp_path: Path) -> None:
    async def open_it() -> None:
        from deploy.serve.background_replicas import TrainerReplica  # noqa: PLC0415

        of_serve(TrainerReplica)(settings(tmp_path), True, SimpleNamespace(encode_later=SimpleNamespace(remote=None)))

    asyncio.run(open_it())
    registry = parts.loops[0].__self__._registry
    with pytest.raises(Fenced, match="never acquired"):
        registry.publish(bundle("one"))
    assert [one.record.version for one in registry.versions()] == ["v0"]


def test_archiver_reads_in_bulk(parts: Parts, tmp_path: Path) -> None:
    from deploy.serve.background_replicas import ArchiverReplica  # noqa: PLC0415

    of_serve(ArchiverReplica)(settings(tmp_path), True)
    assert [kafka.fetch_min_bytes for kafka in parts.opened] == [1_048_576]
    assert parts.opened[0].fetch_max_wait_ms == 500


def test_encoder_reads_texts_of_rooms_and_of_callers_each_in_its_turn_and_with_its_prefix() -> None:
    from deploy.serve.encoder.encoder_replica import EncoderReplica  # noqa: PLC0415

    asked: list[tuple[list[str], str, dict[str, bool]]] = []

    class Merger:
        async def submit(self, texts: list[str], encoder: Any, **turn: bool) -> Encoded:
            asked.append((texts, encoder.version, turn))
            return Encoded(np.zeros((len(texts), 4), np.float16), "v")

    def done(result: Any) -> Future[Any]:
        found: Future[Any] = Future()
        found.set_result(result)
        return found

    def held(version: str) -> Future[Any]:
        prefixes = {"as_passage": "passage: {}".format, "as_query": "query: {}".format}
        return done(SimpleNamespace(version=version, **prefixes))

    encoder: Any = SimpleNamespace(
        _encoders=SimpleNamespace(own=done("own"), ask=held),
        _wanted=SimpleNamespace(known=done(None), version="wanted"),
        _merger=Merger(),
    )
    encoder._of_version = lambda version: EncoderReplica._of_version(encoder, version)

    async def ask() -> None:
        await EncoderReplica.encode(encoder, ["now"])
        await EncoderReplica.encode_later(encoder, ["later"], "old")
        await EncoderReplica.encode_asked(encoder, ["asked"], "new")

    asyncio.run(ask())
    assert asked == [
        (["passage: now"], "wanted", {}),
        (["passage: later"], "old", {"gives_way": True}),
        (["query: asked"], "new", {"goes_first": True}),
    ]


def test_encoder_posts_its_version_and_which_precision_was_chosen_and_why() -> None:
    from deploy.serve.encoder.encoder_replica import EncoderReplica  # noqa: PLC0415

    def held(version: str, why: str) -> Any:
        return SimpleNamespace(version=version, choice=Choice(precision="bf16", why=why), texts_per_s=1.0, cache_hits=2)

    own: Future[str] = Future()
    own.set_result("m/bf16/64")
    here = [held("other/bf16/64", "not measured"), held("m/bf16/64", "measured: 2.73 x fp32")]
    encoder: Any = SimpleNamespace(
        _encoders=SimpleNamespace(own=own, loaded=lambda: here),
        _wanted=SimpleNamespace(version="m/bf16/64", error=""),
        _measured_texts_per_s=0.0,
    )
    posted = EncoderReplica._state(encoder)
    assert (posted["version"], posted["precision"]) == ("m/bf16/64", "bf16 (measured: 2.73 x fp32)")


@pytest.mark.parametrize("case", ["loads", "wanted", "cannot be had", "does not load"])
def test_encoder_says_what_it_holds_and_what_it_cannot_have_and_only_its_own_model_ends_a_start(case: str) -> None:
    """`tidecast up` gives up where a process says `error`: another encoder that cannot be had is no reason."""
    from deploy.serve.encoder.encoder_replica import EncoderReplica  # noqa: PLC0415

    own: Future[str] = Future()
    if case == "does not load":
        own.set_exception(EncoderError("encoder.model does not load"))
    elif case != "loads":
        own.set_result("own")
    choice = Choice(precision="fp32", why="set")
    held = [
        SimpleNamespace(version=version, choice=choice, texts_per_s=80.0, cache_hits=3) for version in ("own", "new")
    ]
    encoder: Any = SimpleNamespace(
        _encoders=SimpleNamespace(own=own, loaded=lambda: held),
        _wanted=SimpleNamespace(
            version={"wanted": "new", "cannot be had": "own"}.get(case, ""),
            error="the live version's encoder x cannot be had" if case == "cannot be had" else "",
        ),
        _measured_texts_per_s=0.0,
    )
    rate = {"texts_per_s": 80.0, "cache_hits": 3, "precision": "fp32 (set)"}
    assert EncoderReplica._state(encoder) == {
        "loads": {"ready": False},
        "wanted": {"version": "new", **rate, "beside": "own", "missing": ""},
        "cannot be had": {
            "version": "own", **rate, "beside": "new", "missing": "the live version's encoder x cannot be had"
        },
        "does not load": {"ready": False, "error": "encoder.model does not load"},
    }[case]  # fmt: skip
