"""An encoder's files lie beside the versions that read it: whole or not at all, checked, and gone with the last."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streaming.archive.store import FolderStore, open_store
from streaming.clock import ManualClock
from streaming.errors import EncoderUnknown, VersionError
from streaming.log.codec import encode
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import MODELS
from tests.unit.training.inference.versions import bundle
from tests.unit.training.registry.fragile import Fragile, Killed
from training.content.encoder_by_version import config_of
from training.content.language_model import name_of
from training.registry import encoders
from training.registry.bundle import Bundle
from training.registry.catalog import key_of
from training.registry.registry import OpenGate, Registry, fetch_encoder
from training.settings import EncoderConfig

OPEN = OpenGate()


def folder_of_model(place: Path, weights: str = "weights") -> Path:
    """A folder with the files of a model, as far as anybody looks who does not load it."""
    place.mkdir(parents=True)
    for name, content in (("config.json", "{}"), ("model.safetensors", weights), ("vocab.txt", "a\nb")):
        (place / name).write_text(content)
    (place / "README.md").write_text("no vector depends on it")
    return place


class World:
    """A registry in a folder, a log, and the folder of an encoder."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock, {MODELS: 1})
        self.uri = str(folder / "models")
        self.store = open_store(self.uri, "registry")
        self.registry = Registry(self.store, self.log, self.clock)
        self.folder = folder_of_model(folder / "made" / "Ours")
        self.name = name_of(str(self.folder))
        self.reads = f"{self.name}/fp32/64"
        self.kept = folder / "models" / encoders.UNDER / self.name
        self.cache = folder / "cache" / "tidecast" / "encoders"

    def version(self, name: str, precision: str = "fp32") -> Bundle:
        return bundle(name, encoder_version=f"{self.name}/{precision}/64")

    def put_live(self, *names: str) -> None:
        for name in names:
            self.clock.advance(1_000)
            self.registry.publish(self.version(name), self.folder)
            self.registry.promote(name, OPEN)

    def found(self, version: str = "") -> EncoderConfig:
        """What an Encoder on another host finds, to which the folder is not known."""
        return config_of(version or self.reads, EncoderConfig(), self.fetch)

    def fetch(self, name: str, into: Path) -> None:
        fetch_encoder(name, into, self.uri)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return World(tmp_path)


def test_every_record_of_a_version_names_its_encoder(world: World) -> None:
    assert world.registry.publish(world.version("zero"), world.folder).encoder == world.reads
    world.put_live("one", "two")
    assert world.registry.retire("one").encoder == world.reads
    world.registry.promote("one", OPEN)
    world.registry.rollback()
    encoder_of = {one.record.version: (one.record.encoder, one.state) for one in world.registry.versions()}
    assert encoder_of == {
        "zero": (world.reads, "candidate"),
        "one": (world.reads, "retired"),
        "two": (world.reads, "live"),
        "v0": ("", "before"),
    }


def test_an_encoder_is_kept_once_with_what_vectors_depend_on_and_is_listed(world: World) -> None:
    world.put_live("one")
    listed, manifest = world.registry.show("one")
    kept = world.registry.encoder_files(listed.record, manifest)
    assert kept is not None
    assert set(kept.files) == {"config.json", "model.safetensors", "vocab.txt"}
    assert {path.name for path in world.kept.iterdir()} == {*kept.files, encoders.LIST}
    written = (world.kept / "model.safetensors").stat().st_mtime_ns
    world.registry.publish(world.version("two", "bf16"), world.folder)
    assert (world.kept / "model.safetensors").stat().st_mtime_ns == written


def test_an_encoder_of_a_package_is_not_kept(world: World) -> None:
    world.registry.publish(bundle("one", encoder_version="all-minilm-l6-v2/fp32/64"), world.folder)
    assert encoders.names(world.store) == []
    listed, manifest = world.registry.show("one")
    assert world.registry.encoder_files(listed.record, manifest) is None


def _shown(world: World, version: str):  # type: ignore[no-untyped-def]
    listed, manifest = world.registry.show(version)
    return listed.record, manifest


def test_a_folder_that_is_another_encoder_by_now_is_not_published_under_the_versions_name(world: World) -> None:
    version = world.version("one")
    (world.folder / "model.safetensors").write_text("Weights")
    with pytest.raises(VersionError, match=r"Ours holds the encoder ours@\w+, not ours@\w+: its files have changed"):
        world.registry.publish(version, world.folder)
    assert [one.record.version for one in world.registry.versions()] == ["v0"]


def test_another_host_finds_it_by_the_version_and_once_it_is_there_needs_no_registry(world: World) -> None:
    world.put_live("one")
    config = world.found(f"{world.name}/bf16/32")
    assert (name_of(config.model), config.precision, config.max_tokens) == (world.name, "bf16", 32)
    assert config.model == str(world.cache / world.name / "ours")
    encoders.remove(world.store, world.name)
    assert world.found().model == config.model


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_the_registry_is_found_and_nothing_comes_into_the_cache(world: World) -> None:
    world.put_live("one")
    world.registry.publish(world.version("two"), world.folder)
    flip(world.kept / "model.safetensors")
    with pytest.raises(EncoderUnknown, match=r"cannot be had: .*model.safetensors is damaged"):
        world.found()
    assert list(world.cache.iterdir()) == []
    for act in (lambda: world.registry.promote("two", OPEN), lambda: encoders.check(world.store, world.name)):
        with pytest.raises(VersionError, match=r"model.safetensors is damaged"):
            act()
    assert world.registry.latest() == world.registry.show("one")[0].record


def test_a_file_that_was_cut_is_found_and_written_anew_with_the_next_version(world: World) -> None:
    world.put_live("one")
    weights = world.kept / "model.safetensors"
    for cut in ("weigh", "weights and more"):
        weights.write_text(cut)
        with pytest.raises(EncoderUnknown, match=r"model.safetensors has other than the 7 bytes"):
            world.found()
    weights.unlink()
    with pytest.raises(EncoderUnknown, match=r"model.safetensors is not there"):
        world.found()
    world.registry.publish(world.version("two"), world.folder)
    assert name_of(world.found().model) == world.name


def test_a_damaged_encoder_is_not_rolled_back_to(world: World) -> None:
    world.put_live("one")
    world.registry.publish(bundle("two"))
    world.registry.promote("two", OPEN)
    flip(world.kept / "config.json")
    with pytest.raises(VersionError, match=r"config.json is damaged"):
        world.registry.rollback()
    live = world.registry.latest()
    assert live is not None
    assert live.version == "two"


@pytest.mark.parametrize("action", ["rollback", "retire"])
def test_what_was_announced_before_records_named_encoders_names_it_from_then_on(world: World, action: str) -> None:
    world.put_live("one", "two")
    sink = world.log.sink()
    for version in ("one", "two"):
        older = msgspec.structs.replace(world.registry.show(version)[0].record, encoder="")
        sink.send(MODELS, key_of(older), encode(older))
    sink.flush()
    if action == "rollback":
        world.registry.rollback()
    else:
        world.registry.retire("one")
    named = {one.record.version: one.record.encoder for one in world.registry.versions()}
    assert named["one"] == world.reads
    assert named["two"] == (world.reads if action == "rollback" else "")


def test_a_list_of_another_encoder_is_refused(world: World) -> None:
    world.put_live("one")
    listing = world.kept / encoders.LIST
    listing.write_text(listing.read_text().replace(world.name, "ours@00000000"))
    with pytest.raises(EncoderUnknown, match=r"files.list is that of ours@00000000"):
        world.found()


def test_what_a_killed_process_left_of_an_encoder_is_pruned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put_live("one")
    world.registry.promote("v0", OPEN)
    with monkeypatch.context() as patch:
        patch.setattr(encoders, "remove", Fragile(1).wrap(encoders.remove))
        with pytest.raises(Killed):
            world.registry.prune(0)
    assert encoders.names(world.store) == [world.name]
    world.registry.prune(0)
    assert encoders.names(world.store) == []


def test_files_of_another_encoder_under_its_name_are_refused_though_every_checksum_is_right(world: World) -> None:
    other = folder_of_model(world.folder.parent.parent / "other" / "ours", "other weights")
    encoders.write(other, world.store, name_of(str(other)))
    theirs = world.kept.with_name(name_of(str(other)))
    theirs.rename(world.kept)
    listing = world.kept / encoders.LIST
    listing.write_text(listing.read_text().replace(theirs.name, world.name))
    with pytest.raises(EncoderUnknown, match=r"the files fetched for ours@\w+ are those of ours@\w+"):
        world.found()
    assert list(world.cache.iterdir()) == []


def test_a_flipped_bit_in_the_cache_is_found_and_fetched_anew(world: World) -> None:
    world.put_live("one")
    weights = Path(world.found().model) / "model.safetensors"
    flip(weights)
    assert name_of(world.found().model) == world.name
    assert weights.read_text() == "weights"


@pytest.mark.parametrize("file", ["../config.json", "a/config.json", ".hidden.json", "run.py"])
def test_a_list_that_names_anything_but_a_file_of_a_model_is_refused(world: World, file: str) -> None:
    world.put_live("one")
    listing = world.kept / encoders.LIST
    listing.write_text(listing.read_text().replace('"config.json"', f'"{file}"'))
    with pytest.raises(EncoderUnknown, match="which is no file of a model"):
        world.found()


def test_without_its_folder_a_version_is_published_all_the_same_and_its_encoder_cannot_be_had(world: World) -> None:
    world.registry.publish(world.version("one"))
    assert world.registry.promote("one", OPEN).passed, "encoder.model may be that folder on every host"
    with pytest.raises(EncoderUnknown, match=r"has no files of the encoder ours@"):
        world.found()


def test_the_encoder_of_a_version_from_another_registry_is_found_there(world: World, tmp_path: Path) -> None:
    world.put_live("one")
    record = world.registry.latest()
    assert record is not None
    config = config_of(
        world.reads, EncoderConfig(), lambda name, into: fetch_encoder(name, into, str(tmp_path / "own"), [record])
    )
    assert name_of(config.model) == world.name


def test_an_encoder_goes_with_the_last_version_that_reads_it(world: World) -> None:
    world.put_live("one", "two")
    world.registry.publish(world.version("three", "bf16"), world.folder)
    world.registry.publish(bundle("four"))
    world.registry.promote("four", OPEN)
    world.registry.retire("one", delete=True)
    assert encoders.names(world.store) == [world.name]
    world.registry.retire("two")
    world.registry.retire("three", delete=True)
    assert encoders.names(world.store) == [world.name], "a retired version whose files are there reads it"
    assert world.registry.prune(0) == ["two"]
    assert not world.kept.exists()


def test_an_encoder_that_no_record_names_yet_is_another_process_just_publishing(world: World) -> None:
    world.put_live("one")
    fresh = folder_of_model(world.folder.parent / "fresh", "fresh")
    encoders.write(fresh, world.store, name_of(str(fresh)))
    world.registry.prune(0)
    assert encoders.names(world.store) == sorted([world.name, name_of(str(fresh))])


def test_while_a_version_is_damaged_no_encoder_goes(world: World) -> None:
    world.put_live("one")
    world.registry.publish(bundle("two"))
    world.registry.promote("two", OPEN)
    flip(world.kept.parent.parent / "two" / "manifest.json")
    world.registry.retire("one", delete=True)
    assert encoders.names(world.store) == [world.name]


@pytest.mark.parametrize("action", ["publish", "retire"])
def test_killed_anywhere_an_encoder_is_whole_or_none_and_the_same_again_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    for dies_at in range(1, 20):
        world = World(tmp_path / str(dies_at))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(dies_at) / "cache"))

        def act(world: World = world) -> None:
            if action == "publish":
                world.registry.publish(world.version("one"), world.folder)
            else:
                world.registry.retire("one", delete=True)

        if action == "retire":
            world.registry.publish(world.version("one"), world.folder)
        with monkeypatch.context() as patch:
            fragile = Fragile(dies_at)
            for name in ("put", "delete"):
                patch.setattr(FolderStore, name, fragile.wrap(getattr(FolderStore, name)))
            try:
                act()
            except Killed:
                survived = False
            else:
                survived = True
        announced = {one.record.version: one.state for one in world.registry.versions()}
        if action == "publish":
            assert not survived or "one" in announced
            assert "one" not in announced or encoders.is_whole(world.store, world.name)
            act()
            assert name_of(world.found().model) == world.name
        else:
            act()
            assert not world.kept.exists()
        if survived:
            assert dies_at > 5
            return
    pytest.fail("there are fewer steps than that")
