"""The simulator: a platform's rooms, chat and viewers as events in time order. Never sends them.

Time advances in ticks of a second. A tick is drawn for all at once, and its events are ordered by their time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streaming.recorded.playback import Event
from streaming.simulated.audience import Audience
from streaming.simulated.broadcasts import Broadcasts
from streaming.simulated.chatter import Chatter
from streaming.simulated.config import SimulationConfig
from streaming.simulated.population import Population
from streaming.simulated.speakers import Speakers
from streaming.simulated.truth import Truth

TICK_MS = 1_000  # a live run draws a second at a time while the second before is still being sent


class Platform:
    """The simulated platform. The same config and start make the same events, to the byte.

    share, of: this instance makes the events of every `of`-th viewer and streamer only, so that the records of a key
    all come from one instance. It still simulates everything. So processes can divide the work of one platform.
    """

    def __init__(self, config: SimulationConfig, *, share: int = 0, of: int = 1) -> None:
        self.config = config
        self.population = Population(config)
        self.truth = Truth(self.population)
        self.share, self.of = share, of
        self._now_ms = 0

    def events(self, start_ms: int, until_ms: int | None = None) -> Iterator[Event]:
        """Events of [start_ms, until_ms) in time order, endless for None. Rooms live at first start at start_ms."""
        for tick in self.ticks(start_ms, until_ms):
            yield from tick

    def ticks(self, start_ms: int, until_ms: int | None = None) -> Iterator[list[Event]]:
        """The events of `events`, a second at a time."""
        rng = np.random.default_rng((self.config.seed, 2))
        broadcasts = Broadcasts(self.population, self.truth, rng, self.share, self.of)
        audience = Audience(self.population, rng, self.share, self.of)
        chatter = Chatter(self.population, rng, self.share, self.of)
        speakers = Speakers(self.population, self.share, self.of)
        self._broadcasts = broadcasts
        self._now_ms = start_ms
        yield broadcasts.open(start_ms)
        audience.arrive(start_ms)
        for from_ms in range(start_ms, until_ms if until_ms is not None else start_ms + 10**12, TICK_MS):
            to_ms = from_ms + TICK_MS if until_ms is None else min(from_ms + TICK_MS, until_ms)
            ended = broadcasts.end(from_ms, to_ms)
            audience.send_away(ended, broadcasts)
            chat = chatter.tick(from_ms, to_ms, broadcasts, audience)
            speech = speakers.tick(from_ms, to_ms, broadcasts)
            moves = audience.tick(from_ms, to_ms, broadcasts)
            started = broadcasts.start_and_drift(from_ms, to_ms)
            # The order at equal times: a room starts before anything happens in it, and ends after.
            tick = started + moves + chat + speech + broadcasts.ends(ended)
            tick.sort(key=_at_ms)
            self._now_ms = to_ms
            yield tick

    def close(self) -> list[Event]:
        """Ends every room that is live, at the end of the last tick that was taken."""
        return self._broadcasts.close(self._now_ms)


def _at_ms(event: Event) -> int:
    return event.at_ms
