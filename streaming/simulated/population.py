"""Owns who lives on the simulated platform: streamers with habits, viewers with tastes. Never moves anybody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.errors import ConfigError
from streaming.events import StreamerId, ViewerId
from streaming.simulated.draws import Floats, Ints, WeightedGroups
from streaming.simulated.phrases import LANGUAGE_SHARES, LANGUAGES, SpokenCategory, SpokenTopic, load_categories

POPULARITY_SIGMA = 1.5  # a tenth of the streamers has two thirds of the viewers
MAX_TASTES = 3
MAX_FAVOURITES = 5
TASTE_WEIGHTS = ((1.0, 0.0, 0.0), (0.65, 0.35, 0.0), (0.5, 0.3, 0.2))  # by the number of tastes
FAVOURITE_WEIGHTS = (0.40, 0.25, 0.15, 0.12, 0.08)
MIXED_CATEGORY = "Just Chatting"  # what the label of a room says whose streamer talks about several categories
_FIRST = ("pixel", "lunar", "rusty", "happy", "turbo", "silent", "mango", "cosmic", "frosty", "velvet", "neon", "salty")
_SECOND = ("fox", "otter", "wizard", "panda", "comet", "baker", "ninja", "raven", "goose", "pilot", "cactus", "yeti")


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """A platform that does not exist. The same config makes the same platform, to the byte."""

    seed: int = 1
    rooms: int = 200  # live at once, on average
    streamers: int = 0  # who broadcast now and then; 0: three times `rooms`
    viewers: int = 5_000  # who ever come; a share of them is there at once
    categories: int = 20  # of the 20 in spoken.tsv
    chat_per_room_s: float = 0.5  # messages a second of an average room
    bot_share: float = 0.02  # of the messages, those by bots
    room_lifetime_s: float = 1_800.0  # mean; a broadcast lasts at least 30 s
    topic_s: float = 300.0  # mean time a room stays with a topic
    mixed_share: float = 0.1  # of the streamers, those who talk about several categories under one label
    raid_share: float = 0.2  # of the ends of rooms, those where the viewers move on together
    online_share: float = 0.3  # of the viewers, those in some room at once
    visit_s: float = 120.0  # mean length of a visit
    hop_share: float = 0.7  # of the visits, those followed at once by another
    return_share: float = 0.5  # of the choices, those of a favourite streamer, where one is live
    noise_share: float = 0.08  # of the choices, those by popularity alone
    reaction_per_viewer_s: float = 0.002  # likes, gifts and follows of a viewer who is in a room
    watch_every_s: float = 60.0  # how often a viewer's player says that it still plays

    def __post_init__(self) -> None:
        for name in ("rooms", "viewers", "categories"):
            if getattr(self, name) < 1:
                raise ConfigError(f"simulation.{name} is {getattr(self, name)}; it must be at least 1")
        if not self.streamers:
            object.__setattr__(self, "streamers", 3 * self.rooms)
        if self.streamers < self.rooms:
            raise ConfigError(f"simulation.streamers is {self.streamers}; {self.rooms} rooms need as many streamers")
        if self.categories > len(load_categories()):
            raise ConfigError(f"simulation.categories is {self.categories}; there are {len(load_categories())}")
        for name in ("room_lifetime_s", "topic_s", "visit_s", "watch_every_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"simulation.{name} is {getattr(self, name)}; it must be above 0")
        for name in ("chat_per_room_s", "reaction_per_viewer_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"simulation.{name} is {getattr(self, name)}; it must not be below 0")
        shares = ("bot_share", "mixed_share", "raid_share", "hop_share", "return_share", "noise_share", "online_share")
        for name in shares:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"simulation.{name} is {getattr(self, name)}; it must be from 0 to 1")
        if not 0 < self.online_share < 1 or self.hop_share == 1:
            raise ConfigError("simulation.online_share must be between 0 and 1, simulation.hop_share below 1")


class Population:
    """S streamers and M viewers, drawn once from the seed.

    Topics are numbered through all categories, `topics_per_category` to each, so topic // that is its category.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.categories: tuple[SpokenCategory, ...] = load_categories()[: config.categories]
        self.topics: tuple[SpokenTopic, ...] = tuple(t for c in self.categories for t in c.topics)
        self.topics_per_category = len(self.categories[0].topics)
        rng = np.random.default_rng((config.seed, 1))
        self._draw_streamers(rng)
        self._draw_viewers(rng)

    def _draw_streamers(self, rng: np.random.Generator) -> None:
        count, categories = self.config.streamers, len(self.categories)
        self.streamers = [StreamerId(f"{_FIRST[i % 12]}{_SECOND[i // 12 % 12]}{i // 144 or ''}") for i in range(count)]
        # A streamer's categories, the usual one first: 85 of 100 broadcasts are about that.
        self.streamer_categories_S3: Ints = np.stack([rng.integers(0, categories, count) for _ in range(3)], axis=1)
        self.streamer_language_S: Ints = rng.choice(len(LANGUAGES), count, p=LANGUAGE_SHARES)
        self.popularity_S: Floats = rng.lognormal(0.0, POPULARITY_SIGMA, count)
        self.mixed_S = rng.random(count) < self.config.mixed_share

    def _draw_viewers(self, rng: np.random.Generator) -> None:
        count, categories, per = self.config.viewers, len(self.categories), self.topics_per_category
        self.viewers = [ViewerId(f"v{i:06d}") for i in range(count)]
        self.viewer_language_M: Ints = rng.choice(len(LANGUAGES), count, p=LANGUAGE_SHARES)
        self.activity_M: Floats = rng.lognormal(0.0, 0.7, count)
        # Distinct categories per viewer: steps of at least 1 around the circle, less than a full turn together.
        step = max(1, categories // MAX_TASTES)
        first = rng.integers(0, categories, (count, 1))
        steps = np.cumsum(rng.integers(1, step + 1, (count, MAX_TASTES - 1)), axis=1)
        self.tastes_MT: Ints = np.concatenate([first, (first + steps) % categories], axis=1)
        self.taste_weights_MT: Floats = np.array(TASTE_WEIGHTS)[rng.integers(0, min(MAX_TASTES, categories), count)]
        self.preferred_topics_MT: Ints = self.tastes_MT * per + rng.integers(0, per, (count, MAX_TASTES))
        self._draw_favourites(rng)

    def _draw_favourites(self, rng: np.random.Generator) -> None:
        """Favourites are of the viewer's taste and language; -1 where there is none, and for one viewer in ten."""
        count, languages = self.config.viewers, len(LANGUAGES)
        groups = self.streamer_categories_S3[:, 0] * languages + self.streamer_language_S
        among = WeightedGroups(groups, np.sqrt(self.popularity_S), len(self.categories) * languages)
        wanted_M = rng.integers(1, MAX_FAVOURITES + 1, count) * (rng.random(count) < 0.9)
        self.favourites_MF: Ints = np.full((count, MAX_FAVOURITES), -1, np.int64)
        until_MT = np.cumsum(self.taste_weights_MT, axis=1)
        for slot in range(MAX_FAVOURITES):
            taste = np.minimum((until_MT <= rng.random((count, 1))).sum(axis=1), MAX_TASTES - 1)
            category = self.tastes_MT[np.arange(count), taste]
            drawn = among.draw(category * languages + self.viewer_language_M, rng.random(count))
            again = (self.favourites_MF == drawn[:, None]).any(axis=1)
            self.favourites_MF[:, slot] = np.where((slot < wanted_M) & ~again, drawn, -1)
