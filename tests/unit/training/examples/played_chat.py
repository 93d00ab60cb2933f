"""Made-up chat as a recording, and its examples, for the tests of examples. Never asserts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay
from training.examples.event_stream import from_replay
from training.examples.generator import ExamplePass
from training.examples.schema import Example, ExamplesConfig
from training.recorded.chat import Chat

BASE_MS = 1_700_000_000_000


class Line(NamedTuple):
    """A message: milliseconds since the epoch, where, by whom, what."""

    at_ms: int
    channel: str
    viewer: str
    text: str


class Unseen:
    """A progress that nobody watches."""

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        pass


def evening(seed: int, num_messages: int = 700, num_channels: int = 6, num_viewers: int = 80) -> list[Line]:
    """Viewers with favourites who move in crowds, channels that pause for half an hour, messages of one millisecond."""
    rng = np.random.default_rng(seed)
    gaps_ms = rng.choice([0, 1, 700, 2_000, 9_000, 61_000], num_messages, p=[0.05, 0.05, 0.4, 0.3, 0.17, 0.03])
    gaps_ms[rng.integers(0, num_messages, 4)] = 1_800_000 + rng.integers(-1, 2, 4)
    at_ms = BASE_MS + np.cumsum(gaps_ms)
    viewers = rng.integers(0, num_viewers, num_messages)
    raided = (np.arange(num_messages) // 100 % 3 == 2) & (rng.random(num_messages) < 0.6)
    channels = np.where(
        rng.random(num_messages) < 0.6, viewers % num_channels, rng.integers(0, num_channels, num_messages)
    )
    channels[raided] = 1
    lines = zip(at_ms.tolist(), channels.tolist(), viewers.tolist(), strict=True)
    return [Line(at, f"c{c}", f"v{v}", f"message {i}") for i, (at, c, v) in enumerate(lines)]


def write(path: Path, lines: Sequence[Line]) -> Path:
    """As a recording in Parquet."""
    columns = {
        "at_ms": pa.array([line.at_ms for line in lines], pa.int64()),
        "channel": pa.array([line.channel for line in lines], pa.string()),
        "viewer": pa.array([line.viewer for line in lines], pa.string()),
        "text": pa.array([line.text for line in lines], pa.string()),
    }
    pa.parquet.write_table(pa.table(columns), path)
    return path


def replay_of(folder: Path, lines: Sequence[Line]) -> Replay:
    """Played as `tidecast replay` plays it."""
    return Replay(Recording.open(write(folder / "chat.parquet", lines)))


def chat_of(lines: Sequence[Line]) -> Chat:
    """As evaluation reads it."""
    channels = tuple(dict.fromkeys(line.channel for line in lines))
    viewers = tuple(dict.fromkeys(line.viewer for line in lines))
    return Chat(
        at_us_M=1_000 * np.array([line.at_ms for line in lines], np.int64),
        channel_M=np.array([channels.index(line.channel) for line in lines], np.int32),
        viewer_M=np.array([viewers.index(line.viewer) for line in lines], np.int32),
        channels=channels,
        viewers=viewers,
        num_train=0,
    )


def passed(
    folder: Path, lines: Sequence[Line], config: ExamplesConfig | None = None
) -> tuple[ExamplePass, list[Example]]:
    """The pass and its examples."""
    passing = ExamplePass(config or ExamplesConfig(), chat_alone=True)
    return passing, list(passing.examples(from_replay(replay_of(folder, lines)), Unseen()))
