"""Owns 5 s of a room's chat: what arrived, or samples of it once it is too much. Never says which 5 s they are."""

from __future__ import annotations

from streaming.saying import condensed_all
from streaming.sketch import DistinctViewers, TextSample
from streaming.text import SampledText

SLICE_MS = 5_000
HEARD_PER_VIEWER = 3  # messages of one chatter in 5 s that count in a rate: people write no faster, programs do


class Slice:
    """5 s of event time of one room. What arrives is only noted, and sketched when enough of it is there or needed."""

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
    )

    def __init__(self, offset: int, max_viewers: int, max_texts: int) -> None:
        """offset: of the first message. max_viewers: counted exactly; max_texts: in the sample."""
        self._max_viewers = max_viewers
        self._max_texts = max_texts
        self._viewers: DistinctViewers | None = None
        self._texts: TextSample | None = None
        self._again: dict[str, int] = {}  # of the chatters → messages that counted in a rate, where more than one
        self.chatters: set[str] = set()  # whose messages count in a rate; the first of each does
        self.first_offset = offset
        self.last_appended_ms = 0
        self.sketched = 0  # messages that are no longer in `noted`
        self.recognised: set[int] = set()  # hashes of this process: never written anywhere
        self.noted: list[tuple[str, str, int]] = []  # viewer, text, event time

    @property
    def messages(self) -> int:
        """How many arrived; duplicates are never noted."""
        return self.sketched + len(self.noted)

    def hears(self, chatter: str) -> bool:
        """Whether one more message of somebody counts in a rate; of the first of a chatter it is not asked."""
        before = self._again.get(chatter, 1)
        if before >= HEARD_PER_VIEWER or chatter not in self.chatters:
            return False
        self._again[chatter] = before + 1
        return True

    def sketch(self) -> tuple[DistinctViewers, TextSample]:
        """Viewers and texts of everything that arrived; a hundred ways to laugh are one text in the sample."""
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
        """A sample of the distinct texts. Of few messages all, and without a sketch: most slices are small."""
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
        """The distinct viewers where no sketch is needed to count them, else None."""
        if self._viewers is not None or len(self.noted) > self._max_viewers:
            return None
        return {viewer for viewer, _, _ in self.noted}
