"""Five seconds of a room's chat: its messages, or samples of them once there are many. Never knows which seconds."""

from __future__ import annotations

from streaming.room.saying import condensed_all
from streaming.room.sketch import DistinctViewers, TextSample
from streaming.room.text import SampledText, Transcript

SLICE_MS = 5_000
TRANSCRIPTS_PER_SLICE = 8  # kept of each 5 s, the newest: a recogniser writes one or two
HEARD_PER_VIEWER = 3  # messages of one chatter in 5 s that count in a rate: people write no faster, bots do


class Slice:
    """Five seconds of event time of one room. Messages are noted, and sketched once there are many or on demand."""

    __slots__ = (
        "_again",
        "_max_texts",
        "_max_viewers",
        "_texts",
        "_viewers",
        "chatters",
        "first_offset",
        "last_appended_ms",
        "noted",
        "recognised",
        "sketched",
        "speech",
    )

    def __init__(self, offset: int, max_viewers: int, max_texts: int) -> None:
        """offset: of the first message. max_viewers: how many are counted exactly; max_texts: size of the sample."""
        self._max_viewers = max_viewers
        self._max_texts = max_texts
        self._viewers: DistinctViewers | None = None
        self._texts: TextSample | None = None
        self._again: dict[str, int] = {}  # chatter → messages that counted in a rate, if more than one
        self.chatters: set[str] = set()  # of messages that count in a rate; each one's first does
        self.first_offset = offset
        self.last_appended_ms = 0
        self.sketched = 0  # messages that are no longer in `noted`
        self.recognised: set[int] = set()  # hashes valid in this process only: never written anywhere
        self.noted: list[tuple[str, str, int]] = []  # viewer, text, event time
        self.speech: list[Transcript] = []

    @property
    def messages(self) -> int:
        """Number of messages, without duplicates, which are never noted."""
        return self.sketched + len(self.noted)

    def hears(self, chatter: str) -> bool:
        """Whether one more message of a chatter counts in a rate. Not called for a chatter's first message."""
        before = self._again.get(chatter, 1)
        if before >= HEARD_PER_VIEWER or chatter not in self.chatters:
            return False
        self._again[chatter] = before + 1
        return True

    def say(self, text: str, at_ms: int) -> None:
        """Adds what the streamer said."""
        self.speech.append((-at_ms, text))
        if len(self.speech) > 2 * TRANSCRIPTS_PER_SLICE:
            self.speech = self.newest_speech()

    def newest_speech(self) -> list[Transcript]:
        """The newest transcripts, newest first, whatever the order in which they came."""
        return sorted(self.speech)[:TRANSCRIPTS_PER_SLICE]

    def sketch(self) -> tuple[DistinctViewers, TextSample]:
        """Sketches of all viewers and texts so far; a hundred ways to laugh are one text in the sample."""
        viewers, texts = self._viewers, self._texts
        if viewers is None or texts is None:
            viewers, texts = DistinctViewers(self._max_viewers), TextSample(self._max_texts)
            self._viewers, self._texts = viewers, texts
        if self.noted:
            viewers.update([viewer for viewer, _, _ in self.noted])
            texts.update(condensed_all([text for _, text, _ in self.noted]), [at_ms for _, _, at_ms in self.noted])
            self.sketched += len(self.noted)
            self.noted.clear()
        return viewers, texts

    def newest_first(self) -> list[SampledText]:
        """A sample of the distinct texts. Few messages are all given, without a sketch: most slices are small."""
        noted, limit = self.noted, self._max_texts
        if self._texts is not None or len(noted) > limit:
            return self.sketch()[1].newest_first()
        said = condensed_all([text for _, text, _ in noted])
        if len(set(said)) == len(said):
            newest_first = [(-at_ms, text, 1) for text, (_, _, at_ms) in zip(said, noted, strict=True)]
            newest_first.sort()
            return newest_first
        sample = TextSample(limit)
        sample.update(said, [at_ms for _, _, at_ms in noted])
        return sample.newest_first()

    def few_viewers(self) -> set[str] | None:
        """The distinct viewers, if no sketch is needed to count them, else None."""
        if self._viewers is not None or len(self.noted) > self._max_viewers:
            return None
        return {viewer for viewer, _, _ in self.noted}
