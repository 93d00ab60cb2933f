"""The table of what faults cost, for a terminal and for docs/reliability.md. Never measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.hosts.faults import FAULTS
from tests.e2e.hosts.trial import Outcome

BEGIN, END = "<!-- hosts: begin -->", "<!-- hosts: end -->"
HEAD = ("fault", "requests", "failed", "worst answer", "full after", "fresh after", "dead rooms", "state at the end")


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    rows = [HEAD, ("---",) * len(HEAD), *(_row(outcome) for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(outcomes: Sequence[Outcome], command: str, machine: str, file: Path) -> None:
    """Replaces rows between the two markers of the file; those of faults that were not tried this time stay.

    Raises ValueError where a marker is missing.
    """
    old = file.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    head, rule, *rows = table(outcomes).splitlines()
    found = {_fault(row): row for row in [*_rows(old), *rows]}
    order = [fault.name for fault in FAULTS if fault.name in found]
    lines = [head, rule, *(found[name] for name in order)]
    made = f"Made by `{command}` on {machine}:"
    replace_between(file, (BEGIN, END), f"{made}\n\n" + "\n".join(lines))


def replace_between(file: Path, marks: tuple[str, str], text: str) -> None:
    """Replaces what is between two markers of a file. Raises ValueError where a marker is missing."""
    begin, end = marks
    before, _, rest = file.read_text(encoding="utf-8").partition(begin)
    _, marked, after = rest.partition(end)
    if not marked:
        raise ValueError(f"{file} lacks {begin} or {end}")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")][2:]


def _fault(row: str) -> str:
    return row.split(" | ", maxsplit=1)[0].removeprefix("| ")


def _row(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.fault,
        f"{outcome.requests:,}",
        f"{len(outcome.failures)}",
        f"{outcome.worst_s:.2f} s",
        _after(outcome.full_s),
        _after(outcome.fresh_s),
        f"{len(outcome.dead)}",
        outcome.differing or "as undisturbed",
    )


def _after(seconds: float) -> str:
    return f"{seconds:.1f} s" if math.isfinite(seconds) else "never"
