"""The population of the simulated platform: streamers with habits, viewers with tastes. Never moves anybody."""

from __future__ import annotations

import numpy as np

from streaming.events import StreamerId, ViewerId
from streaming.simulated.config import SimulationConfig
from streaming.simulated.draws import Floats, Ints, WeightedGroups
from streaming.simulated.phrases import LANGUAGE_SHARES, LANGUAGES, SpokenCategory, SpokenTopic, load_categories

POPULARITY_SIGMA = 1.5  # a tenth of the streamers has two thirds of the viewers
MAX_TASTES = 3
MAX_FAVOURITES = 5
TASTE_WEIGHTS = ((1.0, 0.0, 0.0), (0.65, 0.35, 0.0), (0.5, 0.3, 0.2))  # by the number of tastes
FAVOURITE_WEIGHTS = (0.40, 0.25, 0.15, 0.12, 0.08)
MIXED_CATEGORY = "Just Chatting"  # the label of rooms whose streamers talk about several categories
_FIRST = ("pixel", "lunar", "rusty", "happy", "turbo", "silent", "mango", "cosmic", "frosty", "velvet", "neon", "salty")
_SECOND = ("fox", "otter", "wizard", "panda", "comet", "baker", "ninja", "raven", "goose", "pilot", "cactus", "yeti")


class Population:
    """S streamers and M viewers, drawn once from the seed.

    Topics are numbered through all categories, so a topic's category is topic // `topics_per_category`.
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
        # A streamer's categories, the usual one first, which 85 of 100 broadcasts are about.
        self.streamer_categories_S3: Ints = np.stack([rng.integers(0, categories, count) for _ in range(3)], axis=1)
        self.streamer_language_S: Ints = rng.choice(len(LANGUAGES), count, p=LANGUAGE_SHARES)
        self.popularity_S: Floats = rng.lognormal(0.0, POPULARITY_SIGMA, count)
        self.mixed_S = rng.random(count) < self.config.mixed_share

    def _draw_viewers(self, rng: np.random.Generator) -> None:
        count, categories, per = self.config.viewers, len(self.categories), self.topics_per_category
        self.viewers = [ViewerId(f"v{i:06d}") for i in range(count)]
        self.viewer_language_M: Ints = rng.choice(len(LANGUAGES), count, p=LANGUAGE_SHARES)
        self.activity_M: Floats = rng.lognormal(0.0, 0.7, count)
        # Distinct categories per viewer: steps of at least 1 around the circle, together less than a full turn.
        step = max(1, categories // MAX_TASTES)
        first = rng.integers(0, categories, (count, 1))
        steps = np.cumsum(rng.integers(1, step + 1, (count, MAX_TASTES - 1)), axis=1)
        self.tastes_MT: Ints = np.concatenate([first, (first + steps) % categories], axis=1)
        self.taste_weights_MT: Floats = np.array(TASTE_WEIGHTS)[rng.integers(0, min(MAX_TASTES, categories), count)]
        self.preferred_topics_MT: Ints = self.tastes_MT * per + rng.integers(0, per, (count, MAX_TASTES))
        self._draw_favourites(rng)

    def _draw_favourites(self, rng: np.random.Generator) -> None:
        """Draws favourites of each viewer's taste and language; -1 where there is none, and for one viewer in ten."""
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
