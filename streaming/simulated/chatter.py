"""Makes the chat of the simulated platform's viewers and bots. Never moves a viewer."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from streaming.log.topics import CHAT
from streaming.recorded.playback import Event
from streaming.simulated.audience import NOWHERE, Audience
from streaming.simulated.broadcasts import Broadcasts
from streaming.simulated.draws import Ints
from streaming.simulated.phrases import SPAM, Phrasebook
from streaming.simulated.population import Population

POOL_SIZE = 256  # texts of a topic in a language; a quarter of the messages begin with a mention
MENTION_SHARE = 0.1
BOTS = 20
GUESTS = 50  # chatters of a room without tracked viewers; they only chat


@dataclass(frozen=True, slots=True)
class _Drawn:
    """K messages before they are serialised. authors, mentions: a viewer or NOWHERE."""

    rooms: Ints
    authors: Ints
    at_ms: Ints
    draws: Ints
    mentions: Ints
    bots: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Chatter:
    """Draws chat messages. Busy rooms chat more, by the square root of their popularity."""

    def __init__(self, people: Population, rng: np.random.Generator, share: int, of: int) -> None:
        self._people, self._rng = people, rng
        self._share, self._of = share, of
        self._book = Phrasebook(people.topics, people.config.seed, POOL_SIZE)
        self._escaped: dict[tuple[int, int], list[bytes]] = {}
        self._spam = [_escape(text) for text in SPAM]
        self._streamer_S = [streamer.encode() for streamer in people.streamers]

    def tick(self, from_ms: int, to_ms: int, broadcasts: Broadcasts, audience: Audience) -> list[Event]:
        """Chat of [from_ms, to_ms) with its viewer events. Call it before the viewers move."""
        config, rng = self._people.config, self._rng
        count = int(rng.poisson(len(broadcasts.live) * config.chat_per_room_s * (to_ms - from_ms) / 1000))
        if not len(broadcasts.live) or not count:
            return []
        rooms = broadcasts.live[broadcasts.all_chat.draw(np.zeros(count, np.int64), rng.random(count))]
        bots = rng.random(count) < config.bot_share
        authors = np.where(bots, NOWHERE, self._authors(rooms, audience))
        at = rng.integers(from_ms, to_ms, count)
        known = authors != NOWHERE
        at[known] = audience.before_moving(authors[known], at[known], from_ms)
        draws = rng.integers(0, POOL_SIZE * GUESTS, count)
        mentions = np.where(rng.random(count) < MENTION_SHARE, rng.integers(0, len(audience.viewer_M), count), NOWHERE)
        said = self._messages(_Drawn(rooms, authors, at, draws, mentions, bots), broadcasts, audience)
        return said + self._told(rooms[known], authors[known], at[known], broadcasts, audience)

    def _authors(self, rooms: Ints, audience: Audience) -> Ints:
        """Draws a viewer in each room, NOWHERE where there is none."""
        order = np.argsort(audience.room_M, kind="stable")
        sorted_rooms = audience.room_M[order]
        low = np.searchsorted(sorted_rooms, rooms, side="left")
        here = np.searchsorted(sorted_rooms, rooms, side="right") - low
        drawn = low + (self._rng.random(len(rooms)) * here).astype(np.int64)
        return np.where(here > 0, order[np.minimum(drawn, len(order) - 1)], NOWHERE)

    def _messages(self, drawn: _Drawn, broadcasts: Broadcasts, audience: Audience) -> list[Event]:
        names, keys, hosts = audience.viewer_M, broadcasts.room_S, self._streamer_S
        topics, languages = broadcasts.topic_S, self._people.streamer_language_S
        rooms = drawn.rooms
        mine = np.flatnonzero(rooms % self._of == self._share)
        places = (rooms, topics[rooms], languages[rooms])
        columns = (*places, drawn.authors, drawn.at_ms, drawn.draws, drawn.mentions, drawn.bots)
        events = []
        for room, topic, language, author, at, draw, mention, bot in zip(
            *(c[mine].tolist() for c in columns), strict=True
        ):
            if bot:
                text, name = self._spam[draw % len(self._spam)], b"bot-%d" % (draw % BOTS)
            else:
                text = self._pool(topic, language)[draw % POOL_SIZE]
                name = names[author] if author != NOWHERE else b"%b-guest%d" % (hosts[room], draw // POOL_SIZE)
                if mention != NOWHERE:
                    text = b"@%b %b" % (names[mention], text)
            key = keys[room]
            value = b'{"type":"chat","room":"%b","viewer":"%b","text":"%b","at_ms":%d}' % (key, name, text, at)
            events.append(Event(CHAT, key, value, at))
        return events

    def _told(self, rooms: Ints, authors: Ints, at_ms: Ints, broadcasts: Broadcasts, audience: Audience) -> list[Event]:
        mine = authors % self._of == self._share
        return audience.encode(b"chat", authors[mine], rooms[mine], at_ms[mine], broadcasts)

    def _pool(self, topic: int, language: int) -> list[bytes]:
        pool = self._escaped.get((topic, language))
        if pool is None:
            pool = self._escaped[topic, language] = [_escape(text) for text in self._book.pool(topic, language)]
        return pool


def _escape(text: str) -> bytes:
    """Escapes a text for a JSON string, without the quotes."""
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()
