"""Fine-tuning of the encoder under Ray Train: from pairs of texts to a Hugging Face folder. Never makes a pair.

Each worker learns from its own batches; gradients are averaged. A run that was killed goes on from its last checkpoint.
The result is model/ in the folder of fine-tuning (training/fine_tuning/encoder_run.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray.train
import torch

from streaming.errors import ConfigError, EncoderError, TrainingError
from training.content.language_model import OwnSettings, find, load
from training.content.text_encoder import uses_bf16, utf8
from training.fine_tuning.encoder_learner import EncoderLearner
from training.fine_tuning.encoder_run import encoder_plan, run_name
from training.fine_tuning.model_folder import write_model
from training.fine_tuning.text_pairs import TextPairs
from training.fit.distributed import Distributed
from training.fit.ray_run import Course, WorkerResources, run_on_ray
from training.fit.run import give_way

MODEL = "model"


def fine_tune_on_ray(
    folder: Path, resources: WorkerResources, storage: str, progress: Callable[[Mapping[str, Any]], None]
) -> Path:
    """Fine-tunes on the connected Ray, or in this process where resources.workers is 0; the folder of the result.

    storage, progress: as for `fit_on_ray`; the examples are pairs. Raises TrainingError; ArchiveError: no such storage.
    """
    outcome = run_on_ray(
        fine_tune_on_worker,
        {"folder": str(folder)},
        resources,
        name=run_name(folder),
        storage=storage,
        progress=progress,
    )
    if "failed" in outcome:
        raise TrainingError(outcome["failed"])
    return Path(outcome["model"])


def fine_tune_on_worker(config: dict[str, Any]) -> dict[str, str]:
    """The training function of each Ray Train worker. The first returns the place of the result ("model")."""
    context = ray.train.get_context()
    rank, processes = context.get_world_rank(), context.get_world_size()
    give_way(config["niceness"])
    torch.set_num_threads(config["threads"])
    folder = Path(config["folder"])
    plan = encoder_plan(folder)
    pairs = TextPairs.load(folder)
    device = "cuda" if config["gpu"] else "cpu"
    if config["gpu"] and not torch.cuda.is_available():
        return {"failed": "training.gpu is on, but torch finds no GPU"}
    try:
        found = find(plan.encoder)
        tokenizer, model, last_token = load(found.location, torch.float32, device)
    except EncoderError as err:
        return {"failed": str(err)}
    passages = [found.prefix + utf8(text) for text in pairs.texts]
    tokens = tokenizer(passages, truncation=True, max_length=plan.encoder.max_tokens - 1)["input_ids"]
    titles = [tokenizer(utf8(title), add_special_tokens=False)["input_ids"] for title in pairs.titles]
    try:
        learner = EncoderLearner(
            model,
            tokens,
            pairs,
            plan.learn,
            titles=titles,
            last_token=last_token,
            pad_id=next((one for one in (tokenizer.pad_token_id, tokenizer.eos_token_id) if one is not None), 0),
            rank=rank,
            processes=processes,
            group=Distributed(processes) if processes > 1 else None,
            bf16=uses_bf16(plan.encoder.precision, device),
        )
        course = Course(config, rank, learner, folder / "curves", "pairs")
        course.restore()
        for step in learner.run():
            course.after(step)
        if rank:
            return {}
        settings = OwnSettings(found.prefix, found.query_prefix, last_token, found.dimensions)
        return {"model": str(write_model(model, tokenizer, settings, folder / MODEL))}
    except (TrainingError, ConfigError) as err:
        return {"failed": str(err)}  # the same in each process, and the same again: a restart is of no use
