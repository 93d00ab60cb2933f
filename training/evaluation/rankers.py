"""The rankers that `tidecast evaluate` compares, by name, with their ingredients. Never ranks or measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from streaming.errors import ConfigError
from training.boosting.ranker import Boosting, BoostingConfig, BoostingWithMore
from training.evaluation.baselines import Memory, MemoryAndMoves, NewcomerPopularity, Popularity, Ranker
from training.evaluation.boosted_towers import BoostedTowers
from training.evaluation.content_similarity import Likeness
from training.evaluation.learned_rankers import MODEL, MODELS, given_version, learned
from training.evaluation.logged_baseline import Sinking, SinkingZero, VersionZero
from training.evaluation.trained_model import Learned
from training.recorded.chat import Chat
from training.registry.bundle import Bundle
from training.settings import Baseline

WITH_CONTENT = ("boosting + content", "boosting + shuffled")
WITH_TOWERS = "boosting + towers"
SINKING = "version 0, sinking"
BOOSTED = ("boosting", *WITH_CONTENT, WITH_TOWERS)


@dataclass(frozen=True, slots=True)
class Ingredients:
    """The inputs that rankers are built from. d_content: dimensions of the content, None where none is given."""

    chat: Chat
    boosting: BoostingConfig
    baseline: Baseline
    d_content: int | None
    popularity: Popularity
    sinking: Sinking = field(default_factory=Sinking)


def names_of(names: Sequence[str], versions: Sequence[str]) -> list[str]:
    """The names of the rankers that `build` makes of these."""
    others = [name for name in names if name != WITH_TOWERS]
    return [*_towers_of(names, versions), *others, *versions]


def build(names: Sequence[str], versions: Mapping[str, Bundle], ingredients: Ingredients) -> list[Ranker]:
    """Builds the named rankers, in the order of `BUILDERS`, then trained versions. Raises ConfigError.

    Last come the boosted ones that see the towers of either. The rankers with these towers learn only once.
    """
    rankers = [builder(ingredients) for name, builder in BUILDERS.items() if name in names]
    chat, d_content = ingredients.chat, ingredients.d_content
    rankers += [given_version(name, bundle, chat, d_content) for name, bundle in versions.items()]
    towers = {ranker.name: ranker for ranker in rankers if isinstance(ranker, Learned)}
    for name, seen in _towers_of(names, [*versions]).items():
        of = towers.get(seen) or learned(seen, chat, d_content, ingredients.boosting.seed)
        rankers.append(BoostedTowers(ingredients.boosting, of, name))
    return rankers


def _towers_of(names: Sequence[str], versions: Sequence[str]) -> dict[str, str]:
    """The owners of the towers that boosted rankers see, by the boosted names: versions given, else the model here."""
    if WITH_TOWERS not in names:
        return {}
    learns = {WITH_TOWERS: MODEL} if MODEL in names or not versions else {}
    return {**learns, **{f"boosting + {version}": version for version in versions}}


def _with_content(name: str) -> Callable[[Ingredients], Ranker]:
    def builder(ingredients: Ingredients) -> Ranker:
        config = ingredients.boosting
        if ingredients.d_content is None:
            raise ConfigError(f"{name} needs --content FOLDER, where the vectors of the chat are kept")
        return BoostingWithMore(config, Likeness(config.seed if name == "boosting + shuffled" else None), name)

    return builder


def _model(name: str) -> Callable[[Ingredients], Ranker]:
    return lambda given: learned(name, given.chat, given.d_content, given.boosting.seed)


BUILDERS: Mapping[str, Callable[[Ingredients], Ranker]] = MappingProxyType(
    {
        "popularity": lambda ingredients: ingredients.popularity,
        "newcomers": lambda _: NewcomerPopularity(),
        "memory": lambda ingredients: Memory(ingredients.popularity),
        "memory + transitions": lambda ingredients: MemoryAndMoves(ingredients.popularity),
        "version 0": lambda ingredients: VersionZero(ingredients.baseline),
        SINKING: lambda ingredients: SinkingZero.of(ingredients.baseline, ingredients.sinking, SINKING),
        "boosting": lambda ingredients: Boosting(ingredients.boosting),
        **{name: _with_content(name) for name in WITH_CONTENT},
        **{name: _model(name) for name in MODELS},
    }
)
