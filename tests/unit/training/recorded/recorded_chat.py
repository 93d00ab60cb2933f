"""Chat written by hand or by a seed, as a file or as arrays, for the tests of evaluation. Never asserts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from training.evaluation.recorded_examples import Beside, pass_over
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits
from training.recorded.visits import kinds


class Said(NamedTuple):
    """A message: seconds since the epoch, where, by whom."""

    at_s: float
    channel: str
    viewer: str


def chat_of(said: Sequence[Said], num_train: int) -> Chat:
    """As `training.recorded.chat.load` reads it."""
    channels = tuple(dict.fromkeys(message.channel for message in said))
    viewers = tuple(dict.fromkeys(message.viewer for message in said))
    return Chat(
        at_us_M=np.array([round(message.at_s * 1e6) for message in said], np.int64),
        channel_M=np.array([channels.index(message.channel) for message in said], np.int32),
        viewer_M=np.array([viewers.index(message.viewer) for message in said], np.int32),
        channels=channels,
        viewers=viewers,
        num_train=num_train,
    )


def write(path: Path, said: Sequence[Said], windows: Sequence[int] | None = None) -> Path:
    """As a recording in Parquet."""
    columns = {
        "at": pa.array([round(message.at_s * 1e6) for message in said], pa.timestamp("us")),
        "channel": pa.array([message.channel for message in said], pa.string()),
        "viewer": pa.array([message.viewer for message in said], pa.string()),
        "text": pa.array(["hello"] * len(said), pa.string()),
    }
    if windows is not None:
        columns["window"] = pa.array(windows, pa.int16())
    pa.parquet.write_table(pa.table(columns), path)
    return path


def crowd(seed: int, num_messages: int = 3000, num_channels: int = 8, num_viewers: int = 120) -> list[Said]:
    """A made-up crowd: viewers with favourites, two seconds a message, some at the very same microsecond."""
    rng = np.random.default_rng(seed)
    at_s = 1_700_000_000 + 2.0 * np.sort(rng.integers(0, num_messages, num_messages))
    viewers = rng.integers(0, num_viewers, num_messages)
    channels = np.where(rng.random(num_messages) < 0.7, viewers % num_channels, rng.integers(0, 3, num_messages))
    return [Said(float(t), f"c{c}", f"v{v}") for t, c, v in zip(at_s, channels, viewers, strict=True)]


class Silent:
    """A progress that shows nothing."""

    def stage(self, text: str, unit: str = "", total: int | None = None) -> None:
        pass

    def done(self, count: int, total: int | None = None) -> None:
        pass


class Parts(NamedTuple):
    """The visits of the training part and of the test."""

    past: RecordedVisits
    test: RecordedVisits


def visits_of(
    chat: Chat, folder: Path, beside: Beside | None = None, wanted_M: NDArray[np.bool_] | None = None
) -> Parts:
    """The wanted visits of a recording, all by default, of which there are few."""
    kind_M = kinds(chat)
    wanted_M = kind_M >= 0 if wanted_M is None else wanted_M
    passed = pass_over(chat, kind_M, wanted_M, beside or Beside(), folder=folder / "set", progress=Silent())
    reader = passed.encoded(Silent())
    past = reader.past()
    (test,) = reader.rest()
    return Parts(past, test)
