"""Prints what an evaluation says of the towers of versions, for a person. Never measures."""

from __future__ import annotations

from collections.abc import Mapping

from training.evaluation.tower_diagnostics import PREFIXES, Gates, Towers

NAMES = 24  # characters of a version's name


def towers_table(towers: Mapping[str, Towers]) -> str:
    """Mean λ by a streamer's visits, and recall of the towers alone by the vectors' length. towers: at least one."""
    bins = next(iter(towers.values())).gates
    lines = [
        "",
        "mean λ, how far content counts, of streamers by their visits in the training part (and how many they are)",
        f"{'':{NAMES}}" + "".join(f"{_range(one):>18}" for one in bins),
    ]
    for name, found in towers.items():
        lines.append(f"  {name:{NAMES - 2}}" + "".join(f"{_gate(one):>18}" for one in found.gates))
    lines += [
        "",
        "Recall@10 of the towers alone, by the first dimensions of their vectors (and the share kept of all)",
        f"{'':{NAMES}}" + "".join(f"{dimensions:>18}" for dimensions in PREFIXES),
    ]
    for name, found in towers.items():
        whole = found.recall[PREFIXES[-1]]
        cells = [f"{recall:.3f} ({recall / whole if whole else 0:.1%})" for recall in found.recall.values()]
        lines.append(f"  {name:{NAMES - 2}}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _range(gates: Gates) -> str:
    if gates.high >= 2**62:
        return f"{gates.low:,} or more"
    return f"{gates.low}" if gates.high == gates.low + 1 else f"{gates.low} to {gates.high - 1}"


def _gate(gates: Gates) -> str:
    return "none" if gates.mean is None else f"{gates.mean:.3f} ({gates.streamers})"
