"""The rich console of the terminal's door: only rich's own control sequences pass. Never decides what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from deploy.terminal.console import UNSAFE, clean


class CleanConsole(Console):
    """A rich console that replaces control characters in everything it renders."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        return _cleaned(super().render(renderable, options))


def _cleaned(segments: Iterable[Segment]) -> Iterator[Segment]:
    for segment in segments:
        if segment.control or not UNSAFE.search(segment.text):
            yield segment
        else:
            yield Segment(clean(segment.text), segment.style)
