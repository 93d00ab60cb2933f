"""Which rankers `tidecast evaluate` compares, by name, and what each is made of. Never ranks or measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from deploy.learned_rankers import MODELS, given_version, learned
from deploy.version_zero import VersionZero, VersionZeroConfig
from streaming.errors import ConfigError
from streaming.replay import Channel
from training.boosting import Boosting, BoostingConfig, BoostingWithMore
from training.bundle import Bundle
from training.chat import Chat
from training.likeness import Likeness
from training.rankers import Memory, MemoryAndMoves, NewcomerPopularity, Popularity, Ranker
from training.timeline import ContentTimeline, ShuffledContent

BOOSTED = ("boosting", "boosting + content", "boosting + shuffled")
WITH_CONTENT = BOOSTED[1:]


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What rankers are made of. known: titles by channel, as far as given. content: None where none is given."""

    chat: Chat
    boosting: BoostingConfig
    version_zero: VersionZeroConfig
    known: Mapping[str, Channel]
    content: ContentTimeline | None
    popularity: Popularity


def build(names: Sequence[str], versions: Mapping[str, Bundle], ingredients: Ingredients) -> list[Ranker]:
    """Those named, in the order of `BUILDERS`, then trained versions, by the names given. Raises ConfigError."""
    rankers = [builder(ingredients) for name, builder in BUILDERS.items() if name in names]
    return [*rankers, *(given_version(name, bundle, ingredients) for name, bundle in versions.items())]


def _with_content(name: str) -> Callable[[Ingredients], Ranker]:
    def builder(ingredients: Ingredients) -> Ranker:
        timeline, config = ingredients.content, ingredients.boosting
        if timeline is None:
            raise ConfigError(f"{name} needs --content FOLDER, where the vectors of the chat are kept")
        placebo = ShuffledContent(timeline, config.seed) if name == "boosting + shuffled" else None
        return BoostingWithMore(config, Likeness(timeline, placebo), name)

    return builder


def _model(name: str) -> Callable[[Ingredients], Ranker]:
    return lambda ingredients: learned(name, ingredients, ingredients.boosting.seed)


BUILDERS: Mapping[str, Callable[[Ingredients], Ranker]] = MappingProxyType(
    {
        "popularity": lambda ingredients: ingredients.popularity,
        "newcomers": lambda _: NewcomerPopularity(),
        "memory": lambda ingredients: Memory(ingredients.popularity),
        "memory + transitions": lambda ingredients: MemoryAndMoves(ingredients.popularity),
        "version 0": lambda ingredients: VersionZero(
            ingredients.chat.channels,
            ingredients.known,
            content=ingredients.content,
            config=ingredients.version_zero,
        ),
        "boosting": lambda ingredients: Boosting(ingredients.boosting),
        **{name: _with_content(name) for name in WITH_CONTENT},
        **{name: _model(name) for name in MODELS},
    }
)
