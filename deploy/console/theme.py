"""The console's look: its style sheet, its themes, and the colours of charts. Never draws a view."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

STYLE = (Path(__file__).parent / "console.css").read_text()
COOKIE = "tidecast_theme"  # remembers the choice in the browser
THEMES: Mapping[str, bool | None] = MappingProxyType({"auto": None, "light": False, "dark": True})  # name → dark?
ICONS = MappingProxyType({"auto": "brightness_auto", "light": "light_mode", "dark": "dark_mode"})
# of terms and lines: told apart in both themes and by the colour-blind (Okabe and Ito, 2008, made a little softer)
COLOURS = ("#0f8b94", "#e08e1b", "#4f7fd6", "#c2568f", "#5aa34a", "#8d6bc9", "#c9542e", "#7d8a94", "#b3a11a", "#3a9bd0")
GREY = "#8796a3"  # of axes: readable on both grounds
LOGO = (
    '<svg viewBox="0 0 24 24" width="22" height="22" fill="none" stroke="currentColor" stroke-width="2.4" '
    'stroke-linecap="round"><path d="M2 9c3 0 3-3 6-3s3 3 6 3 3-3 6-3"/>'
    '<path d="M2 18c3 0 3-3 6-3s3 3 6 3 3-3 6-3"/></svg>'
)
FAVICON = LOGO.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').replace("currentColor", "#0f8b94")


def colour(index: int) -> str:
    """The colour of the index-th of several things."""
    return COLOURS[index % len(COLOURS)]


def axis(**more: Any) -> dict[str, Any]:
    """An axis of a chart, quiet enough for both themes."""
    return {
        "axisLine": {"lineStyle": {"color": GREY}},
        "axisLabel": {"color": GREY, "hideOverlap": True},
        "splitLine": {"lineStyle": {"color": GREY, "opacity": 0.2}},
        **more,
    }


def chart(**more: Any) -> dict[str, Any]:
    """The options that all charts share; they do not move by themselves."""
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 8, "right": 28, "top": 30, "bottom": 6, "containLabel": True},
        "legend": {
            "top": 0,
            "left": 0,
            "icon": "roundRect",
            "itemWidth": 10,
            "itemHeight": 10,
            "textStyle": {"color": GREY},
        },
        **more,
    }
