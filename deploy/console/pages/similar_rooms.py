"""The dialog with rooms like one room. Never keeps them."""

from __future__ import annotations

from nicegui import ui

from deploy.console.api import Api
from deploy.console.pages.panel import quiet_button
from deploy.console.shown_text import NAME, shown
from streaming.errors import TidecastError

SIMILAR = 8


async def show_similar(api: Api, room: str) -> None:
    """Asks for rooms like this one and shows them, or says why that cannot be had."""
    try:
        items = await api.similar(room, SIMILAR)
    except TidecastError as err:
        ui.notify(shown(str(err), 300), type="negative", position="top")
        return
    with ui.dialog(value=True) as dialog, ui.element("div").classes("tc-dialog"):
        ui.label(f"Rooms like {shown(room, NAME)}, by what is said in them").classes("tc-title tc-text")
        for item in items:
            ui.label(f"{item.score:.3f}  {shown(item.title)}").classes("tc-text")
        if not items:
            ui.label("None: no chat of this room has been encoded yet.").classes("tc-note")
        quiet_button("Close", dialog.close)
    dialog.on("hide", dialog.delete)
