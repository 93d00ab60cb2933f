"""The folder of a fine-tuning, which every worker reads: pairs of texts and the plan. Never learns.

texts.json, titles.json, pairs.npz  training/fine_tuning/text_pairs.py
plan.json                           written last
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from streaming.errors import TrainingError
from training.fine_tuning.encoder_learner import EncoderLearnConfig
from training.fine_tuning.pairs_of_examples import PairsConfig
from training.fine_tuning.text_pairs import ARRAYS, TEXTS, TITLES, TextPairs
from training.settings import EncoderConfig

PLAN = "plan.json"


class EncoderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of fine-tuning: which language model, on which pairs, and how it learns.

    name: of the model, with what is in it. workers: whose batches are different ones.
    """

    name: str
    encoder: EncoderConfig
    pairs: PairsConfig
    learn: EncoderLearnConfig
    workers: int


def write_encoder_run(folder: Path, pairs: TextPairs, plan: EncoderPlan) -> None:
    """Writes what fine-tuning needs into a folder. Raises TrainingError."""
    pairs.save(folder)
    try:
        (folder / PLAN).write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1))
    except OSError as err:
        raise TrainingError(f"{folder}: the plan of fine-tuning cannot be written: {err}") from err


def encoder_plan(folder: Path) -> EncoderPlan:
    """The plan in a folder. Raises TrainingError: it cannot be read."""
    try:
        return msgspec.json.decode((folder / PLAN).read_bytes(), type=EncoderPlan)
    except (OSError, msgspec.MsgspecError) as err:
        raise TrainingError(f"{folder / PLAN}: {err}; begin a new run") from err


def run_name(folder: Path) -> str:
    """The name of the run, a digest of plan and pairs: with others it does not continue but starts anew."""
    digest = hashlib.sha256()
    try:
        for name in (PLAN, TEXTS, TITLES, ARRAYS):
            digest.update((folder / name).read_bytes())
    except OSError as err:
        raise TrainingError(f"{folder}: what is to be learned from cannot be read: {err}") from err
    return f"encoder-{digest.hexdigest()[:16]}"
