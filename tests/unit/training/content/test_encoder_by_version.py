"""From the version of an encoder come the settings that make it, or a reason why it cannot be had here."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from streaming.errors import EncoderUnknown, VersionError
from training.content.encoder_by_version import config_of, folder_name, kept_folder, parts_of
from training.content.language_model import find, name_of
from training.settings import EncoderConfig

MINILM = "all-minilm-l6-v2"


def nowhere(name: str, _into: Path) -> None:
    raise VersionError(f"the registry has no files of the encoder {name}")


def model_at(place: Path) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    return place


def test_the_settings_own_model_keeps_what_they_say_beside_the_version() -> None:
    own = EncoderConfig(prefix="text: ", query_prefix="asked: ", threads=3)
    found = config_of(f"{find(own).name}/bf16/32", own, nowhere)
    assert found == EncoderConfig(
        prefix="text: ", query_prefix="asked: ", threads=3, precision="bf16", max_tokens=32
    ), "an explicit precision: what `auto` means depends on the processor"


def test_a_model_of_a_package_is_found_by_its_name_without_the_settings_prefixes(tmp_path: Path) -> None:
    own = EncoderConfig(model=str(model_at(tmp_path / "mine")), prefix="text: ", query_prefix="asked: ")
    assert config_of(f"{MINILM}/fp32/64", own, nowhere) == EncoderConfig(model="minilm", precision="fp32")


def test_the_folder_of_the_settings_is_not_fetched(tmp_path: Path) -> None:
    own = EncoderConfig(model=str(model_at(tmp_path / "mine")))
    assert config_of(f"{name_of(own.model)}/fp32/64", own, nowhere).model == own.model


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("", "no encoder that this build makes"),
        (MINILM, "no encoder that this build makes"),
        (f"{MINILM}/auto/64", "no encoder that this build makes"),
        (f"{MINILM}/int3/64", "no encoder that this build makes"),
        (f"{MINILM}/fp32/8", "no encoder that this build makes"),
        (f"{MINILM}/fp32/64/more", "no encoder that this build makes"),
        (f"{MINILM}+1f0c3a52/fp32/64", "it has a prefix of its own"),
        ("ours@1f0c3a52+00000000/fp32/64", "it has a prefix of its own"),
        ("another/fp32/64", "no encoder that this build makes|found by their names"),
        ("..@1f0c3a52/fp32/64", "found by their names"),
        ("ours@1f0c3a52/fp32/64", "cannot be had: the registry has no files of the encoder ours@1f0c3a52"),
    ],
)
def test_what_cannot_be_had_says_why(version: str, why: str) -> None:
    with pytest.raises(EncoderUnknown, match=why):
        config_of(version, EncoderConfig(), nowhere)


def test_files_with_another_digest_than_the_name_says_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fetch(_: str, into: Path) -> None:
        (into / "config.json").write_text("{ }")

    with pytest.raises(EncoderUnknown, match=r"the files fetched for ours@1f0c3a52 are those of ours@"):
        config_of("ours@1f0c3a52/fp32/64", EncoderConfig(), fetch)
    assert list((tmp_path / "tidecast" / "encoders").iterdir()) == []


def test_where_the_cache_cannot_be_written_a_folder_for_what_is_temporary_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    name = name_of(str(model_at(tmp_path / "made" / "ours")))
    fetched: list[str] = []

    def fetch(name: str, into: Path) -> None:
        fetched.append(name)
        (into / "config.json").write_text("{}")

    places = {kept_folder(name, fetch) for _ in range(2)}
    assert [place.is_relative_to(tmp_path) and place.name for place in places] == ["ours"]
    assert fetched == [name], "the second time it is there"


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("ours@1f0c3a52/bf16/64", "ours@1f0c3a52"),
        ("my model@1f0c3a52/bf16/64", "my model@1f0c3a52"),
        (f"{MINILM}/fp32/64", None),
        ("ours@1f0c3a52+00000000/fp32/64", None),
        ("..@1f0c3a52/fp32/64", None),
        ("", None),
    ],
)
def test_only_a_folder_without_a_prefix_from_elsewhere_is_kept_by_its_name(version: str, name: str | None) -> None:
    assert folder_name(version) == name


def test_a_version_in_parts() -> None:
    parts = parts_of("ours@1f0c3a52/bf16/64")
    assert (parts.name, parts.precision, parts.max_tokens) == ("ours@1f0c3a52", "bf16", 64)
