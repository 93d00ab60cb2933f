"""Tests of the registry: what is live after each step and each crash. Never a broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from streaming.archive.store import open_store
from streaming.clock import ManualClock
from streaming.errors import Fenced, LogUnavailable, VersionError
from streaming.events import ModelVersion
from streaming.log.codec import Decoder, encode
from streaming.log.memory_log import MemoryLog, MemorySink
from streaming.log.restore import last_values
from streaming.log.topics import MODELS
from tests.unit.training.inference.versions import bundle
from tests.unit.training.registry.fragile import Fragile, Killed
from training.registry import bundle as files
from training.registry.bundle import Bundle
from training.registry.catalog import VersionCatalog, key_of
from training.registry.registry import GateVerdict, OpenGate, Registry, load_announced
from training.settings import RegistryConfig

OPEN = OpenGate()


class World:
    """A log and a folder, and registries on them."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock, {MODELS: 1})
        self.store = open_store(str(folder / "models"), "registry")
        self.registry = Registry(self.store, self.log, self.clock)

    def live(self) -> str:
        record = self.registry.latest()
        return record.version if record is not None else "v0"

    def states(self) -> dict[str, str]:
        return {listed.record.version: listed.state for listed in self.registry.versions()}

    def put_live(self, *versions: str) -> None:
        for version in versions:
            self.clock.advance(1_000)
            self.registry.publish(bundle(version))
            assert self.registry.promote(version, OPEN).passed


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_v0_is_live_before_any_version(world: World) -> None:
    assert world.states() == {"v0": "live"}
    with pytest.raises(VersionError, match="nothing to roll back to"):
        world.registry.rollback()


def test_a_version_is_a_candidate_then_live_then_before(world: World) -> None:
    record = world.registry.publish(bundle("one"))
    assert (world.states(), world.live()) == ({"one": "candidate", "v0": "live"}, "v0")
    assert record.metrics == {"ndcg10": 0.8, "visits": 3.0}
    world.registry.promote("one", OPEN)
    world.put_live("two")
    assert world.states() == {"two": "live", "one": "before", "v0": "before"}
    listed, manifest = world.registry.show("two")
    assert (listed.state, manifest.version) == ("live", "two")
    assert world.registry.load(listed.record).manifest == manifest
    assert load_announced(listed.record, world.store.uri).manifest == manifest


def test_rollbacks_go_back_one_by_one_to_v0(world: World) -> None:
    world.put_live("one", "two", "three")
    assert world.registry.rollback() == ("three", "two")
    assert world.registry.rollback() == ("two", "one")
    assert world.registry.rollback() == ("one", "v0")
    assert world.states() == {"one": "retired", "v0": "live", "two": "retired", "three": "retired"}
    with pytest.raises(VersionError, match="nothing to roll back to"):
        world.registry.rollback()
    world.put_live("four")
    assert world.registry.rollback() == ("four", "v0")


def test_a_version_that_was_rolled_back_can_be_put_live_again(world: World) -> None:
    world.put_live("one", "two")
    world.registry.rollback()
    world.registry.promote("two", OPEN)
    assert world.states() == {"two": "live", "one": "before", "v0": "before"}
    world.registry.promote("v0", OPEN)
    assert world.states() == {"v0": "live", "two": "before", "one": "before"}


def test_the_live_version_is_not_retired_and_a_retired_one_is_not_returned_to(world: World) -> None:
    world.put_live("one", "two", "three")
    with pytest.raises(VersionError, match="version three is live; put another live first"):
        world.registry.retire("three")
    with pytest.raises(VersionError, match="v0 has no files"):
        world.registry.retire("v0")
    world.registry.retire("two")
    assert world.registry.rollback() == ("three", "one")


def test_retiring_with_delete_frees_the_disk_after_it_is_announced(world: World, tmp_path: Path) -> None:
    world.put_live("one", "two")
    world.registry.retire("one", delete=True)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["two"]
    with pytest.raises(VersionError, match=r"one/manifest.json is not there"):
        world.registry.promote("one", OPEN)
    assert world.live() == "two"


def test_pruning_keeps_what_answers_and_the_newest_of_the_rest(world: World, tmp_path: Path) -> None:
    world.put_live("one", "two", "three", "four")
    world.registry.rollback()  # four is retired, three live, two and one were before
    for version in ("five", "six"):
        world.registry.publish(bundle(version))
    assert world.registry.prune(keep=1) == ["five", "one"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["four", "six", "three", "two"]
    assert world.registry.prune(keep=1) == []
    assert world.registry.prune(keep=0) == ["six", "four", "two"]
    assert world.live() == "three"
    assert world.registry.rollback() == ("three", "v0")


def test_an_unknown_version_is_named_with_the_known(world: World) -> None:
    world.put_live("one")
    for ask in (world.registry.show, world.registry.retire, lambda version: world.registry.promote(version, OPEN)):
        with pytest.raises(VersionError, match="no version 'two' was published; known are: one, v0"):
            ask("two")


def test_a_gate_that_refuses_changes_nothing_and_says_why(world: World) -> None:
    judged: list[tuple[str, str | None]] = []

    class Strict:
        def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
            judged.append((candidate.manifest.version, live.manifest.version if live else None))
            return GateVerdict(False, "worse on new visits", {"new": 0.1})

    world.registry.publish(bundle("one"))
    assert world.registry.promote("one", Strict()).reason == "worse on new visits"
    world.registry.promote("one", OPEN)
    world.registry.publish(bundle("two"))
    assert not world.registry.promote("two", Strict()).passed
    assert judged == [("one", None), ("two", "one")]
    assert world.states() == {"two": "candidate", "one": "live", "v0": "before"}


def test_a_version_is_judged_again_where_another_went_live_while_it_was_judged(world: World) -> None:
    """As by hand, beside a Trainer: better than the version before says nothing about the one that is live now."""
    judged: list[str | None] = []
    other = Registry(world.store, world.log, world.clock)

    class Slow:
        def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
            judged.append(live.manifest.version if live else None)
            if len(judged) == 1:
                other.promote("hand", OPEN)
            return GateVerdict(len(judged) == 1, f"compared with {judged[-1]}")

    world.put_live("one")
    world.registry.publish(bundle("hand"))
    world.registry.publish(bundle("two"))
    assert world.registry.promote("two", Slow()).reason == "compared with hand"
    assert judged == ["one", "hand"]
    assert world.live() == "hand"


@pytest.mark.parametrize("action", ["publish", "promote", "rollback", "retire", "prune"])
def test_a_guard_that_refuses_keeps_everything_as_it_is(world: World, tmp_path: Path, action: str) -> None:
    def refuse() -> None:
        raise Fenced("the lease is lost")

    world.put_live("one", "two")
    world.registry.publish(bundle("candidate"))
    states, stored = world.states(), sorted((tmp_path / "models").rglob("*"))
    guarded = Registry(world.store, world.log, world.clock, guard=refuse)
    acts: dict[str, Callable[[], object]] = {
        "publish": lambda: guarded.publish(bundle("three")),
        "promote": lambda: guarded.promote("candidate", OPEN),
        "rollback": guarded.rollback,
        "retire": lambda: guarded.retire("one", delete=True),
        "prune": lambda: guarded.prune(0),
    }
    with pytest.raises(Fenced):
        acts[action]()
    assert (world.states(), sorted((tmp_path / "models").rglob("*"))) == (states, stored)


def test_what_the_gate_measured_is_kept_with_the_version(world: World) -> None:
    class Fair:
        def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
            return GateVerdict(True, "better", {"new": 0.7})

    world.registry.publish(bundle("one"))
    world.registry.promote("one", Fair())
    live = world.registry.latest()
    assert live is not None
    assert live.metrics == {"ndcg10": 0.8, "visits": 3.0, "new": 0.7}


def test_a_damaged_version_is_neither_put_live_nor_rolled_back_to(world: World, tmp_path: Path) -> None:
    world.put_live("one", "two")
    world.registry.publish(bundle("three"))
    for version in ("one", "three"):
        weights = tmp_path / "models" / version / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(VersionError, match=r"weights.safetensors is damaged"):
        world.registry.promote("three", OPEN)
    with pytest.raises(VersionError, match=r"weights.safetensors is damaged"):
        world.registry.rollback()
    assert world.live() == "two"
    world.registry.retire("one")
    assert world.registry.rollback() == ("two", "v0")


def test_a_name_is_given_once_but_the_same_version_may_be_published_again(world: World) -> None:
    world.registry.publish(bundle("one"))
    world.registry.publish(bundle("one"))
    with pytest.raises(VersionError, match="has another version called one"):
        world.registry.publish(bundle("one", seed=1))
    world.registry.promote("one", OPEN)
    with pytest.raises(VersionError, match="was published before and is live"):
        world.registry.publish(bundle("one"))


def test_a_version_announced_under_another_name_is_not_loaded(world: World) -> None:
    world.registry.publish(bundle("one"))
    listed, _ = world.registry.show("one")
    record = ModelVersion(name="rooms", version="two", path=listed.record.path, state="live", metrics={}, at_ms=0)
    with pytest.raises(VersionError, match="is version one, announced as two"):
        load_announced(record, world.store.uri)


def test_a_record_holds_no_secret_of_the_registry_and_is_found_with_those_of_whoever_reads(world: World) -> None:
    secret = "wJalrXUtnFEMI%2F%2B"
    uri = f"memory://K:{secret}@registry-{id(world)}/models?token={secret}"
    registry = Registry(open_store(uri, "registry"), world.log, world.clock)
    record = registry.publish(bundle("one"))
    assert record.path == f"memory://registry-{id(world)}/models/one"
    registry.promote("one", OPEN)
    assert load_announced(record, uri).manifest.version == "one"
    with pytest.raises(VersionError):
        load_announced(record, world.store.uri)  # whose own place is another has no secret for this one
    older = msgspec.structs.replace(record, version="two", path=f"{uri}/two", state="candidate")
    files.write(bundle("two"), open_store(uri), "two")
    sink = world.log.sink()
    sink.send(MODELS, key_of(older), encode(older))
    sink.flush()
    assert registry.promote("two", OPEN).passed, "what an older build announced, with the secret, is read"
    registry.promote("v0", OPEN)
    registry.retire("two", delete=True)
    assert not files.exists(open_store(uri), "two")
    for partition in world.log.partitions(MODELS):
        last = last_values(world.log, partition)
        assert {"one", "two"} <= {decoded.version for decoded in map(Decoder(MODELS), last.values())}
        assert not any(secret.encode() in value for value in last.values()), "and is cleaned when it is announced again"


STEPS: dict[str, tuple[Callable[[Registry], object], str]] = {
    "publish": (lambda registry: registry.publish(bundle("three")), "two"),
    "promote": (lambda registry: registry.promote("candidate", OPEN), "candidate"),
    "rollback": (lambda registry: registry.rollback(), "one"),
    "retire": (lambda registry: registry.retire("one", delete=True), "two"),
}


@pytest.mark.parametrize("action", STEPS)
def test_a_crash_at_any_step_leaves_the_state_before_or_after_and_the_same_again_ends_it(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, live_after = STEPS[action]
    for dies_at in range(1, 20):
        world = World(tmp_path / f"{dies_at}")
        world.put_live("one", "two")
        world.registry.publish(bundle("candidate"))
        fragile = Fragile(dies_at)
        with monkeypatch.context() as patch:
            for name in ("put", "delete"):
                patch.setattr(world.store, name, fragile.wrap(getattr(world.store, name)))
            for name in ("send", "flush"):
                patch.setattr(MemorySink, name, fragile.wrap(getattr(MemorySink, name)))
            try:
                act(world.registry)
            except Killed:
                pass
            else:
                assert dies_at > 2
                assert world.live() == live_after
                return
        live = world.live()
        assert live in ("two", live_after)
        if live != "v0":
            listed, _ = world.registry.show(live)
            world.registry.load(listed.record)
        if live == "two":  # not done: the same again does it
            act(world.registry)
        assert world.live() == live_after
    pytest.fail("there are fewer steps than that")


def test_without_a_broker_nothing_is_said_to_be_live(world: World) -> None:
    world.put_live("one")
    world.log.pause()
    with pytest.raises(LogUnavailable):
        world.registry.latest()


def test_records_of_others_and_bytes_that_are_none_change_nothing() -> None:
    announced = VersionCatalog()
    other = ModelVersion(name="another", version="x", path="/x", state="live", metrics={}, at_ms=1)
    ours = ModelVersion(name="rooms", version="one", path="/one", state="live", metrics={}, at_ms=1)
    assert announced.apply(key_of(ours), encode(ours))
    assert announced.apply(key_of(other), encode(other))
    assert not announced.apply(b"rooms/two", b"\xff\x00")
    assert announced.live == ours
    assert announced.apply(b"rooms/one", None)
    assert announced.live is None


def test_the_candidate_is_the_newest_that_waits() -> None:
    announced = VersionCatalog()
    for version, state, waits in (("a", "candidate", "a"), ("b", "candidate", "b"), ("b", "live", None)):
        record = ModelVersion(name="rooms", version=version, path="", state=state, metrics={}, at_ms=1)  # type: ignore[arg-type]
        announced.apply(key_of(record), encode(record))
        assert (announced.candidate.version if announced.candidate else None) == waits


def test_a_relative_registry_lies_below_the_folder_of_the_command() -> None:
    assert RegistryConfig().below(Path("/x")).uri == "/x/.tidecast/models"
    assert RegistryConfig(uri="/a").below(Path("/x")).uri == "/a"
    assert RegistryConfig(uri="s3://a/b").below(Path("/x")).uri == "s3://a/b"
