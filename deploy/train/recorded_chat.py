"""Recorded chat as what a training learns from. Never learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.terminal.recording_check import check_recording
from deploy.train.run import WriteExamples
from streaming.recorded.recorded_rooms import Selection
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay, read_channels
from training.examples.writer import write_recorded


@dataclass(frozen=True, slots=True)
class RecordedChat:
    """A recording as a command line names it, and which part of it is taken."""

    chat: Path
    channels: Path | None
    until_ms: int | None
    limit: int | None
    skip_bad: bool

    def replay(self) -> Replay:
        """The recording, checked to its end: better an error now than after hours. Raises InputFileError."""
        recording = Recording.open(self.chat, "chat")
        check_recording(recording, None, skip_bad=self.skip_bad)
        return Replay(
            recording,
            channels=read_channels(self.channels) if self.channels else None,
            selection=Selection(None, None, self.until_ms, self.limit),
        )


def examples_of(replay: Replay) -> WriteExamples:
    """What writes a recording's examples."""
    return lambda folder, config, progress: write_recorded(replay, folder, config, progress)
