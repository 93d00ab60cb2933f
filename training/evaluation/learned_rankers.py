"""The rankers of `tidecast evaluate` that are the models themselves: learned there, in parts, or given. Never ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from streaming.errors import ConfigError
from streaming.recorded.replay import Channel
from training.evaluation.trained_model import Learned
from training.fit.local_fit import FitConfig
from training.model.config import LarmConfig, ModelConfig, Sides
from training.recorded.candidate_batches import ContentTables, NoContent, Shuffled
from training.recorded.chat import Chat
from training.recorded.content_timeline import ContentTimeline
from training.registry.bundle import Bundle

D_CONTENT = 384  # dimensions of the zeros in place of content where none is given


class Given(Protocol):
    """The inputs that the models learn from. content: None where none is given."""

    @property
    def chat(self) -> Chat: ...
    @property
    def known(self) -> Mapping[str, Channel]: ...
    @property
    def content(self) -> ContentTimeline | None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a model in use: sides of the room tower, codes, and whether content is shuffled over rooms."""

    sides: Sides = "both"
    codes: bool = True
    shuffled: bool = False

    @property
    def needs_content(self) -> bool:
        """Whether the model needs content."""
        return self.sides == "content" or self.shuffled


MODEL = "tidecast"
MODELS: dict[str, Parts] = {
    MODEL: Parts(),
    "tidecast, id only": Parts("id", codes=False),
    "tidecast, content only": Parts("content", codes=False),
    "tidecast, no codes": Parts(codes=False),
    "tidecast, shuffled": Parts(shuffled=True),
}


def learned(name: str, given: Given, seed: int) -> Learned:
    """A model that learns from the training part. Raises ConfigError: it needs content, and none is given."""
    parts = MODELS[name]
    contents: ContentTables = given.content if given.content is not None else NoContent(D_CONTENT)
    if given.content is None and parts.needs_content:
        raise ConfigError(f"{name} needs --content FOLDER, where the vectors of the chat are kept")
    if parts.shuffled:
        contents = Shuffled(contents, seed)
    config = FitConfig()
    learn = replace(config.learn, coded=parts.codes, seed=seed)
    return Learned(
        name, given.chat, contents, FitConfig(ModelConfig(larm=LarmConfig(sides=parts.sides)), learn), known=given.known
    )


def given_version(name: str, bundle: Bundle, given: Given) -> Learned:
    """A version that was trained before. Raises ConfigError: the content given has other dimensions."""
    contents: ContentTables = given.content if given.content is not None else NoContent(bundle.manifest.d_content)
    if contents.now_RD.shape[1] != bundle.manifest.d_content:
        raise ConfigError(
            f"--version {name} reads content of {bundle.manifest.d_content} dimensions; the vectors given have "
            f"{contents.now_RD.shape[1]}"
        )
    return Learned(name, given.chat, contents, FitConfig(), known=given.known, bundle=bundle)
