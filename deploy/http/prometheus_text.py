"""A reader of Prometheus text: sums over a metric's series, quantiles of its histograms. Never fetches a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streaming.errors import TidecastError

Labels = frozenset[tuple[str, str]]


class NotMetrics(TidecastError):
    """Raised for a text that is not in the format of Prometheus."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """The content of /metrics at one time. series: name → labels → value."""

    series: Mapping[str, Mapping[Labels, float]] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of a metric with these labels; 0 where there is none."""
        wanted = set(labels.items())
        return sum(value for have, value in self.series.get(name, {}).items() if wanted <= have)

    def quantile(self, name: str, share: float, since: Exposition | None = None, **labels: str) -> float | None:
        """A quantile of a histogram's observations after `since`, interpolated in its bucket; None if there are none.

        An observation above the last finite bucket counts as that bucket's bound.
        """
        counts: dict[float, float] = {}
        for le in {dict(have).get("le", "") for have in self.series.get(f"{name}_bucket", {})}:
            before = since.total(f"{name}_bucket", le=le, **labels) if since else 0.0
            counts[float(le)] = self.total(f"{name}_bucket", le=le, **labels) - before
        observed = counts.get(float("inf"), 0.0)
        if observed <= 0:
            return None
        rank, below, low = share * observed, 0.0, 0.0
        for bound in sorted(counts):
            if counts[bound] >= rank and bound != float("inf"):
                inside = counts[bound] - below
                return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
            below, low = counts[bound], bound if bound != float("inf") else low
        return low


def parse(text: str) -> Exposition:
    """Parses the text format. Raises NotMetrics: it is another format."""
    from streaming.prometheus import samples  # noqa: PLC0415  where it is read, not in each command's help

    series: dict[str, dict[Labels, float]] = {}
    try:
        for name, labels, value in samples(text):
            series.setdefault(name, {})[frozenset(labels.items())] = value
    except ValueError as err:
        raise NotMetrics(f"what should be a page of metrics is none: {err}") from err
    return Exposition(series)
