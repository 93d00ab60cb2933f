"""The check that `streaming`, `actors` and `training` are ours. Never imports them, nor anything else of ours.

The names are common. If another installed package has one of them and comes first on the path, Python would import that
one and fail far away with an AttributeError. This check reports it at once, with what to do.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

OURS = Path(__file__).resolve().parents[2]
PACKAGES = ("streaming", "actors", "training")


def shadowing(packages: tuple[str, ...] = PACKAGES) -> str | None:
    """The problem and its remedy if one of our packages is another's or missing; None if all is well."""
    for name in packages:
        spec = importlib.util.find_spec(name)
        if spec is None:
            return (
                f"Tidecast's package '{name}' is not installed beside {OURS / 'deploy'}. "
                "Install Tidecast again: pip install --force-reinstall tidecast, or `make venv` in its checkout."
            )
        found = [Path(place).resolve() for place in spec.submodule_search_locations or [spec.origin or ""]]
        if OURS / name not in found:
            return _explain(name, found[0])
    return None


def _explain(name: str, found: Path) -> str:
    from importlib.metadata import packages_distributions  # noqa: PLC0415  slow to import, and seldom needed

    owners = packages_distributions().get(name, [])
    others = sorted({owner for owner in owners if owner.lower() != "tidecast"})
    remove = f"remove it (pip uninstall {' '.join(others)})" if others else f"take {found.parent} off PYTHONPATH"
    return (
        f"another package named '{name}' hides Tidecast's: Python finds {found}, Tidecast needs {OURS / name}. "
        f"Give Tidecast a virtual environment of its own (`make venv` in its checkout), or {remove}."
    )
