"""A Hugging Face folder of a model that was fine-tuned here. Never loads one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError

from streaming.errors import TrainingError
from training.content.language_model import OWN_SETTINGS, OwnSettings


def write_model(model: Any, tokenizer: Any, settings: OwnSettings, place: Path) -> Path:
    """Writes a Hugging Face folder, whole or not at all; returns it. Raises TrainingError."""
    unfinished = place.with_name(f"{place.name}.part-{os.getpid()}")
    try:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        (unfinished / OWN_SETTINGS).write_bytes(msgspec.json.encode(settings))
        shutil.rmtree(place, ignore_errors=True)
        unfinished.rename(place)
    except (OSError, SafetensorError, RuntimeError) as err:
        raise TrainingError(f"{place}: the encoder cannot be written: {err}") from err
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return place
