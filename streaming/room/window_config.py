"""The settings of a room's chat window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from streaming.errors import ConfigError
from streaming.section import Count, PositiveShare, Section, Share


@dataclass(frozen=True, slots=True)
class WindowConfig(Section):
    """The settings of a chat window and its texts. All bounds are per room and hold whatever arrives."""

    section: ClassVar[str] = "window"

    # a segment stays open this long past its end; a multiple of 5, at most 25
    lateness_s: Annotated[int, Meta(ge=0, le=25, multiple_of=5)] = 5
    idle_close_s: Count = 60  # a segment closes when nothing was appended to it for this long
    keep_s: int = 90  # slices are dropped when nothing was appended to them for this long
    text_chars: Count = 256  # about as many tokens of English as the default encoder reads, 64
    short_chars: Count = 100  # of a text while the encoder is behind: half the tokens, and more than twice the speed
    message_chars: Count = 200  # of each message
    # of a text's characters, those for what the streamer says where there is chat as well; what one leaves unused the
    # other takes. 0: transcripts are ignored
    speech_share: Share = 0.5
    speech_chars: Count = 256  # of each transcript; recognisers write a sentence, or half a minute at once
    title_chars: Count = 300  # of title, category and tags together
    texts_per_slice: Count = 48  # distinct texts kept of each 5 s
    # counted exactly up to here, estimated within about 6 % past it
    viewers_per_slice: Annotated[int, Meta(ge=2)] = 256
    recognised_per_slice: Count = 2_048  # messages of each 5 s in which duplicates and chatters are recognised
    waiting_segments: Count = 64  # closed segments that may wait for the encoder; older ones are skipped
    # one closed segment in so many enters the slow mean, a room's first one at once: the mean is slow,
    # and each of its segments costs the encoder as much as a fresh vector
    mean_every: Count = 4
    mean_alpha: PositiveShare = 0.5  # a segment's weight in the mean: a half-life of one of them, 2 minutes

    def check(self) -> None:
        if self.idle_close_s >= self.keep_s:
            raise ConfigError(
                f"window.idle_close_s is {self.idle_close_s}; it must be below window.keep_s, {self.keep_s}"
            )
