"""When fine-tuning that was stopped is gone on with, and what is refused before it begins."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from deploy.config.settings import Settings
from deploy.train.fine_tuning import FineTuning, LaterRay
from streaming.errors import ConfigError
from training.fine_tuning.encoder_run import write_encoder_run
from training.fine_tuning.text_pairs import TextPairs
from training.fit.runs import MAX_AGE_MS
from training.settings import EncoderConfig, TrainingConfig

NOW_MS = 1_800_000_000_000


class Quiet:
    def began(self, stage: str) -> None: ...

    def learned(self, said: object) -> None: ...


def tuning(config: TrainingConfig, encoder: EncoderConfig | None = None) -> FineTuning:
    quiet = Quiet()
    return FineTuning(encoder or EncoderConfig(), config, cast("Any", quiet), LaterRay(None, Settings(), quiet.began))


@pytest.fixture
def config(tmp_path: Path) -> TrainingConfig:
    return TrainingConfig(folder=str(tmp_path), encoder="full")


@pytest.fixture
def run(tmp_path: Path, config: TrainingConfig) -> Path:
    """A run that was stopped while it fine-tuned."""
    run = tmp_path / "run"
    (run / "examples").mkdir(parents=True)
    (run / "examples" / "index.json").touch()
    none = np.zeros(0, np.int32)
    write_encoder_run(run / "encoder", TextPairs((), *(none,) * 6), tuning(config)._plan())
    os.utime(run / "encoder" / "plan.json", (NOW_MS / 1_000 - 60, NOW_MS / 1_000 - 60))
    return run


def test_what_was_stopped_a_minute_ago_goes_on(run: Path, config: TrainingConfig) -> None:
    assert tuning(config).can_go_on(run, NOW_MS)


@pytest.mark.parametrize("left", ["over", "plan.json"])
def test_a_run_that_is_over_or_has_gone_on_to_learn_is_not_begun_from_its_old_examples(
    run: Path, config: TrainingConfig, left: str
) -> None:
    (run / left).touch()
    assert not tuning(config).can_go_on(run, NOW_MS)


def test_an_old_one_and_one_without_examples_begin_anew(run: Path, config: TrainingConfig) -> None:
    assert not tuning(config).can_go_on(run, NOW_MS + MAX_AGE_MS)
    (run / "examples" / "index.json").unlink()
    assert not tuning(config).can_go_on(run, NOW_MS)


@pytest.mark.parametrize(
    "other",
    [
        {"encoder_rate": 1e-6},
        {"pairs": 99},
        {"encoder_layers": 1},
        {"title_weight": 0.7},
        {"seed": 8},
        {"workers": 2},
        {"encoder": "frozen"},
    ],
)
def test_other_settings_begin_anew(run: Path, config: TrainingConfig, other: dict[str, Any]) -> None:
    assert not tuning(replace(config, **other)).can_go_on(run, NOW_MS)


def test_another_encoder_begins_anew(run: Path, config: TrainingConfig) -> None:
    assert not tuning(config, EncoderConfig(max_tokens=32)).can_go_on(run, NOW_MS)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"every_s": 60.0}, "no gate judges between versions"),
        ({"checkpoints": "s3://bucket/checkpoints"}, "would not have it"),
    ],
)
def test_settings_with_which_the_encoder_would_be_lost_or_refused_are_refused(
    others: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainingConfig(encoder="full", **others)
