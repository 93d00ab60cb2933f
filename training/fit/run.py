"""The first half of a training run: examples, vectors, run folder. Never learns, never publishes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from streaming.errors import TrainingError
from streaming.machine.private_folder import make_private
from streaming.room.window_config import WindowConfig
from training.content.encode_missing import Encoder, EncodingProgress, encode_missing
from training.content.vector_cache import VectorCache
from training.examples.candidate_batches import ContentRules
from training.examples.dataset import ExampleSet
from training.fit.export import Origin
from training.fit.learner import LearnConfig
from training.fit.local_fit import MIN_VISITS, FitConfig
from training.fit.run_folder import RunFolder, write_run_folder
from training.model.config import RANKED, LarmConfig, ModelConfig, RankerConfig
from training.model.semantic_codes import CodesConfig
from training.registry.manifest import V0, Manifest
from training.settings import TrainingConfig
from training.viewer_config import ViewerConfig

EXAMPLES, VECTORS, ENCODER = "examples", "vectors", "encoder"
ADAPTER_UNITS = 128  # of training.encoder = "adapter"
SMALL = 2_000  # visits; below them codes are fewer and passes more


@dataclass(frozen=True, slots=True)
class Parent:
    """The version that a run continues from. path: the folder or URI of its files."""

    manifest: Manifest
    streamers: tuple[str, ...]
    path: str


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A lock on a training folder: no other run uses it meanwhile. Raises TrainingError: one does."""
    if not folder.exists():
        make_private(folder)  # what viewers did lies in it
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            lock.seek(0)
            raise TrainingError(
                f"{folder}: another training runs there (process {lock.read().strip() or 'unknown'}); wait for it, "
                "or give training.folder another"
            ) from err
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def cannot_go_on(live: Manifest, encoder_version: str) -> str:
    """The reason why training cannot continue from a version but must start anew; "" where it can."""
    if live.encoder_version != encoder_version:
        return (
            f"version {live.version} was trained on vectors of {live.encoder_version}, which are not those of "
            f"{encoder_version}"
        )
    if live.features != RANKED:
        odd = sorted(set(live.features) ^ set(RANKED)) or ["their order"]
        return f"version {live.version} reads other features than this build computes ({', '.join(odd)})"
    return ""


def make_run_folder(
    run: Path,
    write_examples: Callable[[Path], ExampleSet],
    encoder: Encoder,
    config: TrainingConfig,
    *,
    window: WindowConfig,
    title_weight: float,
    now_ms: int,
    encoding: EncodingProgress,
    parent: Parent | None = None,
    tuned: Callable[[Path, ExampleSet], Encoder] | None = None,
    keep_examples: bool = False,
) -> RunFolder:
    """The run folder with everything that training needs; a folder `run` that exists is replaced.

    write_examples: writes examples into a folder. tuned: fine-tunes the encoder on them in the folder that it is given,
    and returns the one that is used in place of `encoder`. keep_examples: those in the folder are used, where they
    are fine-tuned on already. Raises TrainingError: there are too few visits, the parent reads other features or
    vectors, or the folder cannot be written.
    """
    if tuned is None and parent is not None and (why := cannot_go_on(parent.manifest, encoder.version)):
        raise TrainingError(f"{why}: train with --rebuild")
    examples = ExampleSet(run / EXAMPLES) if keep_examples else _new_examples(run, write_examples)
    if tuned is not None:
        encoder = tuned(run / ENCODER, examples)
    texts = examples.texts()
    cache = VectorCache(run.parent / VECTORS, encoder.version, encoder.dimension)
    encode_missing(texts.texts, texts.hash_K, encoder, cache, encoding)
    origin = Origin(
        version=f"m{now_ms // 1_000}",
        encoder_version=encoder.version,
        trained_until_ms=max(examples.span_ms),
        created_at_ms=now_ms,
        parent=parent.manifest.version if parent is not None else V0,
    )
    return write_run_folder(
        run,
        examples,
        cache.vectors(texts.hash_K),
        fit_config(config, encoder.dimension, len(examples)),
        origin=origin,
        rules=ContentRules(title_weight, window.mean_alpha),
        parent=parent.path if parent is not None else "",
        parent_streamers=parent.streamers if parent is not None else (),
    )


def _new_examples(run: Path, write_examples: Callable[[Path], ExampleSet]) -> ExampleSet:
    try:
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
    except OSError as err:
        raise TrainingError(f"{run}: cannot be written: {err}") from err
    examples = write_examples(run / EXAMPLES)
    if len(examples) < MIN_VISITS:
        raise TrainingError(
            f"{len(examples)} visits to learn from; at least {MIN_VISITS} are needed: wait for more, or give more"
        )
    return examples


def fit_config(config: TrainingConfig, d_content: int, num_examples: int) -> FitConfig:
    """Settings of a version from those of training. A small set gets small batches, for enough steps, and few codes."""
    batch = max(32, min(config.batch, num_examples // 20))
    model = ModelConfig(
        larm=LarmConfig(d_content=d_content, adapter=ADAPTER_UNITS if config.encoder == "adapter" else 0),
        viewer=ViewerConfig(mixer=config.mixer),
        codes=CodesConfig(size=32 if num_examples >= SMALL else 8, seed=config.seed),
        ranker=RankerConfig(),
    )
    learn = LearnConfig(
        towers_epochs=config.towers_epochs,
        epochs=config.epochs,
        ranker_epochs=config.ranker_epochs,
        towers_share=LearnConfig().towers_share if num_examples >= SMALL else 1.0,
        batch=batch,
        rate=config.rate,
        leave_s=config.leave_s,
        seed=config.seed,
    )
    return FitConfig(model, learn)


def give_way(niceness: int) -> None:
    """Lowers the priority for good, as `nice` does. niceness: 0..19; a value below the present one changes nothing.

    It holds on Linux for this thread and those that it starts from now on, elsewhere for the process.
    """
    if niceness > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
