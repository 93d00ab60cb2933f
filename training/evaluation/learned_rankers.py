"""The rankers of `tidecast evaluate` that are the models themselves: learned there, in parts, or given. Never ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from streaming.errors import ConfigError
from training.evaluation.trained_model import Learned, as_they_are
from training.fit.local_fit import FitConfig
from training.fit.run import ADAPTER_UNITS
from training.model.batches import CandidateSets, ContentTable
from training.model.config import LarmConfig, ModelConfig, Sides
from training.recorded.chat import Chat
from training.registry.bundle import Bundle

D_CONTENT = 384  # dimensions of the zeros in place of content where none is given


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a model in use: sides of the room tower, codes, an adapter of content, and whether content is
    shuffled over rooms.
    """

    sides: Sides = "both"
    codes: bool = True
    adapter: bool = False
    shuffled: bool = False

    @property
    def needs_content(self) -> bool:
        """Whether the model needs content."""
        return self.sides == "content" or self.shuffled or self.adapter


MODEL = "tidecast"
MODELS: dict[str, Parts] = {
    MODEL: Parts(),
    "tidecast, id only": Parts("id", codes=False),
    "tidecast, content only": Parts("content", codes=False),
    "tidecast, no codes": Parts(codes=False),
    "tidecast, shuffled": Parts(shuffled=True),
    "tidecast, adapter": Parts(adapter=True),
    "tidecast, adapter, content only": Parts("content", codes=False, adapter=True),
    "tidecast, adapter, shuffled": Parts(adapter=True, shuffled=True),
}


def learned(name: str, chat: Chat, d_content: int | None, seed: int) -> Learned:
    """A model that learns from the training part.

    d_content: dimensions of the content, None where none is given. Raises ConfigError: it needs content.
    """
    parts = MODELS[name]
    if d_content is None and parts.needs_content:
        raise ConfigError(f"{name} needs --content FOLDER, where the vectors of the chat are kept")
    seen = shuffled_content(seed) if parts.shuffled else as_they_are
    if d_content is None:
        seen = without_content(D_CONTENT)
    learn = replace(FitConfig().learn, coded=parts.codes, seed=seed)
    larm = LarmConfig(sides=parts.sides, adapter=ADAPTER_UNITS if parts.adapter else 0)
    return Learned(name, chat, FitConfig(ModelConfig(larm=larm), learn), seen=seen)


def given_version(name: str, bundle: Bundle, chat: Chat, d_content: int | None) -> Learned:
    """A version that was trained before. Raises ConfigError: the content given has other dimensions."""
    needed = bundle.manifest.d_content
    if d_content not in (None, needed):
        raise ConfigError(f"--version {name} reads content of {needed} dimensions; the vectors given have {d_content}")
    seen = without_content(needed) if d_content is None else as_they_are
    return Learned(name, chat, FitConfig(), seen=seen, bundle=bundle)


def without_content(d_content: int) -> Callable[[CandidateSets], CandidateSets]:
    """Takes the content from candidate sets: one row of zeros, with as many dimensions as a model reads."""
    none_1D = np.zeros((1, d_content), np.float16)

    def taken(sets: CandidateSets) -> CandidateSets:
        pasts = replace(sets.pasts, now_VT=np.zeros_like(sets.pasts.now_VT), mean_VT=np.zeros_like(sets.pasts.mean_VT))
        return replace(
            sets,
            now_R=np.zeros_like(sets.now_R),
            mean_R=np.zeros_like(sets.mean_R),
            pasts=pasts,
            contents=ContentTable(none_1D, none_1D),
        )

    return taken


def shuffled_content(seed: int) -> Callable[[CandidateSets], CandidateSets]:
    """Replaces every row of content by another, the same one wherever it occurs. Models learn only noise from it."""

    def taken(sets: CandidateSets) -> CandidateSets:
        rng, contents = np.random.default_rng(seed), sets.contents
        mean_LD = contents.mean_LD.copy()
        mean_LD[1:] = contents.mean_LD[1:][rng.permutation(len(mean_LD) - 1)]
        return replace(sets, contents=ContentTable(contents.now_KD[rng.permutation(len(contents.now_KD))], mean_LD))

    return taken
