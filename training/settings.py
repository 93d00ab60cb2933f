"""The settings of training, of the baseline ranker, of the encoder and of the registry. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from streaming.errors import ConfigError
from streaming.section import Count, CountOrZero, NotNegative, Positive, PositiveShare, Section
from training.viewer_config import MixerKind

BUCKET_STEP = 16  # tokens: fits the tiles of bf16 matrix units, and wastes at most 16 a text

Precision = Literal["auto", "bf16", "fp32"]
EncoderTraining = Literal["frozen", "adapter", "full"]


Weight = Annotated[float, Meta(ge=0, lt=1_000)]


@dataclass(frozen=True, slots=True)
class BaselineWeights(Section):
    """How much each term of the baseline's score counts (training/baseline.py)."""

    section: ClassVar[str] = "recommend.weights"

    visited: Weight = 9.0
    content: Weight = 2.0
    category: Weight = 6.0
    language: Weight = 3.0
    arrivals: Weight = 3.2
    trending: Weight = 2.2
    crowd: Weight = 0.5
    rising: Weight = 0.7
    fresh: Weight = 0.1


@dataclass(frozen=True, slots=True)
class Baseline:
    """What of the settings decides how the baseline ranks (training/baseline.py); `RecommendConfig.baseline` has it."""

    weights: BaselineWeights = field(default_factory=BaselineWeights)
    broad_category: str = "Just Chatting"
    fresh_half_life_s: float = 600.0


@dataclass(frozen=True, slots=True)
class TrainingConfig(Section):
    """How versions are made: from how much, how long, on how many workers, and how often by themselves."""

    section: ClassVar[str] = "training"

    every_s: NotNegative = 0.0  # a version is made from the archive so often while the system runs; 0: never
    first_s: NotNegative = 0.0  # after the start, the first of them; 0: after every_s
    folder: str = ".tidecast/training"  # examples, vectors, checkpoints, curves; on several hosts a mount: file:///…
    # a URI as for archive.uri, for checkpoints and what a run needs to go on on another host; "": all is in the folder
    checkpoints: str = ""
    history_hours: Positive = 168.0  # of the archive: a week holds every habit
    refresh_hours: Positive = 24.0  # of the archive, for a refresh, which goes on from the live version
    share: PositiveShare = 1.0  # of the visits, drawn at random, that are learned from
    workers: CountOrZero = 1  # processes that learn together; 0: in the process that asks, which costs no start
    gpu: bool = False  # a GPU for each
    threads: Count = 1  # of each, on a CPU
    cpus: Positive = 0.1  # what Ray reserves for each; on a cluster give what each really uses
    # of its threads, 0 to 19: on a busy machine, whoever answers comes first
    niceness: Annotated[int, Meta(ge=0, le=19)] = 5
    checkpoint_s: Positive = 20.0  # what a kill may lose
    towers_epochs: Count = 2  # passes over the examples: of the towers,
    epochs: Count = 2  # of towers, codes and ranker together,
    ranker_epochs: CountOrZero = 12  # and of the ranker alone
    rate: Positive = 0.003
    batch: Count = 512  # visits a step and worker
    mixer: MixerKind = "softmax"  # of the viewer tower: softmax, hstu or lru
    # adapter: two layers of the model's own follow the encoder's vectors; full: the encoder itself is fine-tuned
    encoder: EncoderTraining = "frozen"
    pairs: Count = 16_000  # of texts, that an encoder is fine-tuned on,
    encoder_layers: Count = 2  # the last so many layers of it
    encoder_rate: Positive = 5e-5
    # of telling a room's title from its chat, beside the pairs' weight of 1; 0: not at all
    title_weight: NotNegative = 0.0
    # of visits: to leave within it is to leave at once, which the head `leave` learns. To stay is to stay for 60 s
    leave_s: Annotated[float, Meta(gt=0, le=60)] = 10.0
    seed: int = 7

    def check(self) -> None:
        if self.encoder == "full" and self.checkpoints:
            raise ConfigError(
                'training.encoder = "full" leaves the encoder in training.folder, and a run that goes on elsewhere by '
                "training.checkpoints would not have it; leave training.checkpoints empty"
            )
        if self.encoder == "full" and self.every_s:
            raise ConfigError(
                'training.encoder = "full" makes another encoder each time, and no gate judges between versions that '
                "read different encoders; set training.every_s to 0, or training.encoder to frozen or adapter"
            )

    def below(self, folder: Path) -> TrainingConfig:
        """This, with relative paths below a folder; `training.folder` without a `file://` in front."""
        checkpoints = self.checkpoints
        if checkpoints and "://" not in checkpoints:
            checkpoints = str(folder / Path(checkpoints).expanduser())
        own = str(folder / Path(self.folder.removeprefix("file://")).expanduser())
        return replace(self, folder=own, checkpoints=checkpoints)


@dataclass(frozen=True, slots=True)
class EncoderConfig(Section):
    """Which model turns text into vectors, and what it may use."""

    section: ClassVar[str] = "encoder"

    # a short name (minilm, multilingual-e5-small, smollm2), a folder or a Hugging Face name; "" is minilm
    model: str = ""
    prefix: str = ""  # what the model was trained to find before a text; "" is its own: "passage: " for E5
    query_prefix: str = ""  # the same before a text that somebody asks with: "query: " for E5
    # 30 s of deduplicated chat seldom has more; cost grows with it
    max_tokens: Annotated[int, Meta(ge=BUCKET_STEP)] = 64
    batch_rows: Count = 64
    threads: Count = 1  # on a CPU; one leaves the other cores to the log
    precision: Precision = "auto"  # the fastest, measured once on a host that multiplies bf16; fp32 on several
    cached_texts: Count = 50_000  # about 1 kB each at 384 dimensions
    # how long a new Encoder measures what it can do here, before it serves; `demo` has it do so
    measure_s: NotNegative = 0.0


@dataclass(frozen=True, slots=True)
class RegistryConfig(Section):
    """Where versions of the models are kept."""

    section: ClassVar[str] = "registry"

    # a folder, or a URI as for archive.uri, which several hosts need
    uri: str = ".tidecast/models"

    def check(self) -> None:
        if not self.uri:
            raise ConfigError("registry.uri is empty; it must be a folder or a URI such as s3://bucket/models")

    def below(self, folder: Path) -> RegistryConfig:
        """This, or where it is a relative path, the same below a folder."""
        if "://" in self.uri:
            return self
        return replace(self, uri=str(folder / Path(self.uri).expanduser()))
