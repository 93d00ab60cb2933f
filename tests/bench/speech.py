"""Whether rooms' content is better known when their streamers are heard: right topics, with speech and without.

    python -m tests.bench.speech [--json] [--rooms N] [--minutes M] [--seed N]

A simulated platform where every streamer talks runs through the folds twice: with `window.speech_share` at 0 and at its
default. At one moment a room's content vector is compared with the texts of all topics; it is right where the nearest
one is the room's topic, which may have changed since its title. English rooms, because the encoder reads English. The
simulator's sentences are about the topic, all of them: a platform's are not, and neither is its recogniser so good.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.settings import TablesConfig
from streaming.events import ChatMessage, RoomId, RoomState, Speech, ViewerEvent
from streaming.room.room import RoomAggregate
from streaming.room.window_config import WindowConfig
from streaming.simulated.config import SimulationConfig
from streaming.simulated.phrases import LANGUAGES
from streaming.simulated.simulate import Platform
from training.content.content_vector import content_vectors
from training.content.text_encoder import TextEncoder
from training.settings import EncoderConfig

START_MS = 1_700_000_000_000
ENGLISH = LANGUAGES.index("en")
LITTLE = 2  # messages in the 30 s of the window
ENCODE = 64  # texts a batch
DRAWS = 2_000

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """Which of N rooms' topics are right, without speech and with it. little_N: rooms with little chat."""

    silent_N: Bools
    heard_N: Bools
    little_N: Bools


def play(platform: Platform, until_ms: int) -> dict[float, dict[str, RoomAggregate]]:
    """The rooms at a moment, by the share of speech."""
    shares = (0.0, WindowConfig().speech_share)
    rooms: dict[float, dict[str, RoomAggregate]] = {share: {} for share in shares}
    offset = 0
    for event in platform.events(START_MS, until_ms):
        record = event.record
        if isinstance(record, ViewerEvent):
            continue
        offset += 1
        for share, known in rooms.items():
            room = known.get(record.room)
            if room is None:
                room = known[record.room] = RoomAggregate(RoomId(record.room), WindowConfig(speech_share=share))
            if isinstance(record, ChatMessage | Speech):
                room.apply_chat(record, offset, record.at_ms)
            else:
                room.apply_lifecycle(record, offset, record.at_ms)
    return rooms


def encoded(encoder: TextEncoder, texts: list[str]) -> NDArray[np.float16]:
    return np.concatenate([encoder.encode(texts[at : at + ENCODE]) for at in range(0, len(texts), ENCODE)])


def states(rooms: list[RoomAggregate], encoder: TextEncoder) -> list[RoomState]:
    """States with the vectors that a RoomWorker would have given them."""
    for is_title in (True, False):
        wanted = [(room, room.title_text() if is_title else room.chat_text()) for room in rooms]
        pairs = [(room, text) for room, text in wanted if text is not None]
        for (room, text), vector_D in zip(pairs, encoded(encoder, [text.text for _, text in pairs]), strict=True):
            give = room.set_title_vector if is_title else room.set_chat_vector
            give(text, np.asarray(vector_D, "<f2").tobytes(), encoder.version)
    found = [room.state(START_MS) for room in rooms]
    return [state for state in found if state is not None]


def measure(seed: int, num_rooms: int, minutes: int) -> Known:
    """Rooms of one platform at one moment."""
    platform = Platform(
        SimulationConfig(seed=seed, rooms=num_rooms, viewers=100, chat_per_room_s=0.05, talking_share=1.0)
    )
    until_ms = START_MS + minutes * 60_000
    rooms, encoder = play(platform, until_ms), TextEncoder(EncoderConfig())
    topics = platform.population.topics
    topics_TD = encoded(encoder, [f"{topic.name}: {', '.join(topic.words)}" for topic in topics]).astype(np.float32)
    truth = platform.truth.broadcasts
    live = [room for room in platform.truth.live(until_ms) if truth[room].language == ENGLISH]
    right: list[Bools] = []
    little_N = np.zeros(0, np.bool_)
    for known in rooms.values():
        of_rooms = states([known[room] for room in live], encoder)
        content_ND = content_vectors(of_rooms, encoder.dimension, TablesConfig().title_weight)
        nearest_N = (content_ND @ topics_TD.T).argmax(axis=1)
        right.append(nearest_N == np.array([truth[room].topic_at(until_ms) for room in live]))
        little_N = np.array([state.window_messages <= LITTLE for state in of_rooms])
    return Known(right[0], right[1], little_N)


def shares(silent_N: Bools, heard_N: Bools) -> dict[str, float]:
    """Shares of right topics and their difference, with intervals of 95 % over rooms."""
    drawn = np.random.default_rng(0).integers(0, len(silent_N), (DRAWS, len(silent_N)))
    columns = {"silent": silent_N, "heard": heard_N, "difference": heard_N.astype(int) - silent_N}
    found: dict[str, float] = {"rooms": len(silent_N)}
    for name, right_N in columns.items():
        low, high = np.percentile(right_N[drawn].mean(axis=1), (2.5, 97.5))
        found |= {name: right_N.mean(), f"{name}_low": low, f"{name}_high": high}
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--rooms", type=int, default=2_000)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    known = measure(args.seed, args.rooms, args.minutes)
    figures = {
        "little_chat": shares(known.silent_N[known.little_N], known.heard_N[known.little_N]),
        "more_chat": shares(known.silent_N[~known.little_N], known.heard_N[~known.little_N]),
    }
    for name, found in figures.items():
        print(f"{name}: {found['rooms']:.0f} rooms, the topic is the right one of")
        for what in ("silent", "heard", "difference"):
            print(f"  {what:12} {found[what]:.3f}  ({found[what + '_low']:.3f} to {found[what + '_high']:.3f})")
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
