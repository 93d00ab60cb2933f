"""The simulator's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from streaming.errors import ConfigError
from streaming.section import Count, CountOrZero, NotNegative, Positive, Section, Share, ShareBelowOne
from streaming.simulated.phrases import load_categories


@dataclass(frozen=True, slots=True)
class SimulationConfig(Section):
    """The settings of a simulated platform. The same config makes the same platform, to the byte."""

    section: ClassVar[str] = "simulation"

    seed: int = 1
    rooms: Count = 200  # live at once, on average
    streamers: CountOrZero = 0  # that broadcast now and then; 0: three times `rooms`
    viewers: Count = 5_000  # in all; a share of them is online at once
    categories: Count = 20  # of the 20 in spoken.tsv
    chat_per_room_s: NotNegative = 0.5  # messages a second of an average room
    talking_share: Share = 0.2  # of the streamers, those whose speech is recognised: a sentence every 5 to 15 s
    bot_share: Share = 0.02  # of the messages, those by bots
    room_lifetime_s: Positive = 1_800.0  # mean; a broadcast lasts at least 30 s
    topic_s: Positive = 300.0  # mean time a room stays with a topic
    mixed_share: Share = 0.1  # of the streamers, those who talk about several categories under one label
    raid_share: Share = 0.2  # of the ends of rooms, those where the viewers move on together
    online_share: Annotated[float, Meta(gt=0, lt=1)] = 0.3  # of the viewers, those in some room at once
    visit_s: Positive = 120.0  # mean length of a visit
    # of the visits to a room about nothing that the viewer likes, and of no favourite: those left within 10 s.
    # 0: how long a visit is has nothing to do with its room
    bored_share: Share = 0.0
    hop_share: ShareBelowOne = 0.7  # of the visits, those followed at once by another
    return_share: Share = 0.5  # of the choices, those of a favourite streamer, where one is live
    noise_share: Share = 0.08  # of the choices, those by popularity alone
    reaction_per_viewer_s: NotNegative = 0.002  # likes, gifts and follows of a viewer who is in a room
    watch_every_s: Positive = 60.0  # how often a viewer's player reports that it still plays

    def check(self) -> None:
        if not self.streamers:
            object.__setattr__(self, "streamers", 3 * self.rooms)
        if self.streamers < self.rooms:
            raise ConfigError(f"simulation.streamers is {self.streamers}; {self.rooms} rooms need as many streamers")
        if self.categories > len(load_categories()):
            raise ConfigError(f"simulation.categories is {self.categories}; there are {len(load_categories())}")
