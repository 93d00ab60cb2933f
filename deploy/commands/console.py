"""The command `tidecast console`: serves the pages and opens a browser. Never starts the system."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from dataclasses import replace
from typing import Annotated, Any

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say

EPILOG = """\
examples:
  tidecast console                              pages on http://127.0.0.1:8080, about the system of the configuration
  tidecast console --url http://10.0.0.5:8000   about another one
  tidecast console --viewer v000017 --viewer v000042     whose lists are looked at first
  tidecast console --no-browser                 only prints the address

Live: rooms by audience; type a chat line and see when a receipt covers it, and whose list moves.
Viewer: what a viewer would be shown now, why, and how fresh; two side by side; send an event, or move a slider for
a goal, and see the list move.
Ask: rooms by a text; a viewer's list without and with a text and rooms that pull it.
Map: live rooms by content in two dimensions, and which of them move.
Health: freshness, the encoder, lag, every process, the models' versions.

It speaks to Tidecast's HTTP API alone, keeps nothing, and asks only while somebody looks. It waits for a system that is
not up. Where its port is taken it takes another free one and says which; with --port it does not. It has no password:
by default only programs of this machine reach it. --host lets others in and needs --expose, for whoever reaches it can
look up any viewer's list and write chat into any room. Put your gateway before it.
"""


def run(
    context: typer.Context,
    *,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="of the answers (default: console.url, else that of http.port)")
    ] = None,
    admin_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="of metrics and state (default: the port after that of the answers)"),
    ] = None,
    port: Annotated[int | None, typer.Option(metavar="N", help="of the pages; 0: any free one (default: 8080)")] = None,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="of the pages (default: 127.0.0.1)")] = None,
    expose: Annotated[
        bool, typer.Option("--expose", help="whoever reaches --host may do all that the console does")
    ] = False,
    viewer: Annotated[
        list[str] | None, typer.Option(metavar="VIEWER", help="whose list is looked at first; repeatable")
    ] = None,
    control_fd: Annotated[int | None, typer.Option(hidden=True, help="the demo's, which starts it")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="open no browser, on a terminal either")] = False,
) -> int:
    """Serves web pages on which live rooms, lists and health are seen as they change. Until Ctrl-C."""
    settings = settings_of(context)
    given: dict[str, Any] = {"url": url, "admin_url": admin_url, "port": port, "host": host, "expose": expose or None}
    config = replace(settings.console, **{name: value for name, value in given.items() if value is not None})
    asked, admin = config.url or settings.http.url, config.admin_url or ("" if config.url else settings.http.admin_url)

    from deploy.console.api import Api  # noqa: PLC0415  the help needs none of this
    from deploy.console.pages.shared import Shared  # noqa: PLC0415
    from deploy.console.server import open_socket, serve, url_of  # noqa: PLC0415
    from deploy.local.stopping import interrupt_on_sigterm  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415

    with open_socket(config, exactly=port is not None) as listening, interrupt_on_sigterm():
        here = url_of(listening)
        say(f"console   {here}   asks {asked}", flush=True)
        if config.port not in (0, listening.getsockname()[1]):
            complain(f"port {config.port} is taken; this is another one")
        opens = not no_browser and sys.stdout.isatty()
        try:
            serve(
                listening,
                config,
                Shared(Api(asked, admin, settings.http.token), SystemClock(), viewer or (), control_fd),
                lambda: open_browser(here, wanted=opens),
            )
        except KeyboardInterrupt:
            return 0
    return 0


def open_browser(url: str, *, wanted: bool) -> None:
    """Opens a browser with windows, without waiting for it: one in the terminal would draw over everything."""
    if wanted and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
