"""The chart of the map: rooms as discs, trails as lines, rings around what was chosen. Never computes a place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import events, ui

from deploy.console.map_picture import GROUPS, LARGEST_PX, SMALLEST_PX, Picture, Spot
from deploy.console.shown_text import shown
from deploy.console.theme import COLOURS, GREY

TITLE = 60  # characters beside the pointer
RING_PX = 10.0  # wider than its disc
HUES = tuple(one for one in COLOURS if one != "#7d8a94")[:GROUPS]  # the grey among them is that of the others
X, Y, SIZE, COLOUR, NAME, ROOM = range(6)  # the columns of a disc


def group_colour(number: int) -> str:
    """The colour of a group; grey for -1, the others."""
    return HUES[number] if number >= 0 else GREY


def disc_rows(picture: Picture) -> list[list[Any]]:
    """A row per room: its columns. The largest come first, so that the small ones lie above them."""
    return [
        [
            round(spot.point.x, 4),
            round(spot.point.y, 4),
            spot.size_px,
            spot.colour,
            shown(spot.point.title or spot.point.room, TITLE),
            spot.point.room,
        ]
        for spot in picture.spots
    ]


def trail_rows(picture: Picture) -> list[dict[str, Any]]:
    """A line per room that moved."""
    return [
        {
            "coords": [[round(x, 4), round(y, 4)] for x, y in spot.trail.places],
            "lineStyle": {"color": group_colour(spot.colour)},
        }
        for spot in picture.moved
        if spot.trail is not None
    ]


def ring_rows(spots: Sequence[Spot]) -> list[dict[str, Any]]:
    """A ring around each of these rooms."""
    return [{"value": [round(s.point.x, 4), round(s.point.y, 4)], "symbolSize": s.size_px + RING_PX} for s in spots]


class MapChart:
    """The chart. pick: receives the room whose disc was chosen."""

    def __init__(self, pick: Callable[[str], None]) -> None:
        hidden = {"show": False, "scale": True}
        self._drawn: object = None
        self._chart = ui.echart(
            {
                "animation": False,
                "grid": {"left": 4, "right": 4, "top": 4, "bottom": 4},
                "xAxis": {**hidden, "type": "value"},
                "yAxis": {**hidden, "type": "value"},
                # on the canvas: a title is never read as HTML
                "tooltip": {"trigger": "item", "renderMode": "richText", "formatter": "{b}", "confine": True},
                "visualMap": [
                    {
                        "show": False,
                        "type": "piecewise",
                        "dimension": COLOUR,
                        "seriesIndex": 1,
                        "categories": [*range(GROUPS), -1],
                        "inRange": {"color": [*HUES, GREY]},
                    },
                    {
                        "show": False,
                        "type": "continuous",
                        "dimension": SIZE,
                        "seriesIndex": 1,
                        "min": SMALLEST_PX,
                        "max": LARGEST_PX,
                        "inRange": {"symbolSize": [SMALLEST_PX, LARGEST_PX]},
                    },
                ],
                "series": [
                    {
                        "type": "lines",
                        "coordinateSystem": "cartesian2d",
                        "polyline": True,
                        "silent": True,
                        "symbol": ["none", "none"],
                        "lineStyle": {"width": 2, "opacity": 0.55},
                        "data": [],
                    },
                    {
                        "type": "scatter",
                        "encode": {"x": X, "y": Y, "itemName": NAME, "tooltip": [NAME]},
                        "itemStyle": {"opacity": 0.78, "borderColor": "rgba(255,255,255,.45)", "borderWidth": 1},
                        "data": [],
                    },
                    {
                        "type": "scatter",
                        "silent": True,
                        "itemStyle": {"color": "transparent", "borderColor": GREY, "borderWidth": 1.5},
                        "data": [],
                    },
                    {
                        "type": "scatter",
                        "silent": True,
                        "itemStyle": {"color": "transparent", "borderColor": "#e0218a", "borderWidth": 2.5},
                        "data": [],
                    },
                ],
            },
            on_point_click=lambda event: pick(_room_of(event)),
        ).classes("tc-map")

    @property
    def box(self) -> ui.element:
        """The element, to be hidden while there is nothing in it."""
        return self._chart

    def show(self, picture: Picture, rows: tuple[list[Any], list[Any]], found: Sequence[Spot], picked: str) -> None:
        """Draws a map. rows: of discs and of trails, computed once for all tabs. Nothing is sent for the same one."""
        drawn = (rows, tuple(spot.point.room for spot in found), picked)
        if self._drawn == drawn:
            return
        self._drawn = drawn
        options = self._chart.options
        if (frame := picture.frame) is not None:
            options["xAxis"] |= {"min": frame.left, "max": frame.right}
            options["yAxis"] |= {"min": frame.low, "max": frame.high}
        discs, trails = rows
        trail_series, disc_series, found_series, picked_series = options["series"]
        trail_series["data"], disc_series["data"] = trails, discs
        found_series["data"] = ring_rows(found)
        picked_series["data"] = ring_rows([spot for spot in picture.spots if spot.point.room == picked])
        self._chart.update()


def _room_of(event: events.EChartPointClickEventArguments) -> str:
    return str(event.value[ROOM]) if isinstance(event.value, list) and len(event.value) > ROOM else ""
