"""The table of what faults cost, for a terminal and for docs/reliability.md. Never measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.e2e.hosts.trial import Outcome

BEGIN, END = "<!-- hosts: begin -->", "<!-- hosts: end -->"
HEAD = ("fault", "requests", "failed", "worst answer", "full after", "fresh after", "dead rooms", "state at the end")


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    rows = [HEAD, ("---",) * len(HEAD), *(_row(outcome) for outcome in outcomes)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(outcomes: Sequence[Outcome], command: str, machine: str, file: Path) -> None:
    """Replaces what is between the two markers of the file. Raises ValueError where they are missing."""
    text = file.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, marked, after = rest.partition(END)
    if not marked:
        raise ValueError(f"{file} lacks {BEGIN} or {END}")
    made = f"Made by `{command}` on {machine}:"
    file.write_text(f"{before}{BEGIN}\n{made}\n\n{table(outcomes)}\n{END}{after}", encoding="utf-8")


def _row(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.fault,
        f"{outcome.requests:,}",
        f"{len(outcome.failures)}",
        f"{outcome.worst_s:.2f} s",
        f"{outcome.full_s:.1f} s",
        f"{outcome.fresh_s:.1f} s",
        f"{len(outcome.dead)}",
        outcome.differing or "as undisturbed",
    )
