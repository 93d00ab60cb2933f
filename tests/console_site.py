"""A console before a made-up API, as it is opened in Chromium. No test is here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.console_api import FakeApi, Stage
from tests.console_process import console_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

WIDTHS = {1280: 900, 390: 844}
FAR_MS, APART_MS = 80, 20
# Every click takes a while to the console, and what it changes comes back bit by bit: a test that reads a page once,
# right after a click, fails here and not only on a slow machine.
FAR = f"""(() => {{
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {{ setTimeout(() => send.call(this, data), {FAR_MS}); }};
  const given = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage");
  let last = 0;
  Object.defineProperty(WebSocket.prototype, "onmessage", {{...given, set(then) {{
    given.set.call(this, message => {{
      last = Math.max(last + {APART_MS}, performance.now() + {FAR_MS});
      setTimeout(() => then.call(this, message), last - performance.now());
    }});
  }}}});
}})()"""


@dataclass
class Site:
    """A console, the system that it asks, and what its pages have done."""

    url: str
    stage: Stage
    browser: Browser
    said: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @contextlib.contextmanager
    def page(self, path: str, *, width: int = 1280, theme: str = "light") -> Iterator[Page]:
        """A page of a browser of its own; no error on its console, and no other host asked."""
        size = {"width": width, "height": WIDTHS[width]}
        context = self.browser.new_context(viewport=size, color_scheme=theme)  # type: ignore[arg-type]
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.add_init_script(FAR)
        page = context.new_page()
        said, hosts = list[str](), set[str]()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        try:
            page.goto(self.url + path)
            yield page
            assert said == []
            assert hosts == {self.url.split("/")[2]}
        finally:
            context.close()

    @contextlib.contextmanager
    def page_of_a_new_console(self, path: str) -> Iterator[Page]:
        """A page of a console that has asked nothing yet, as of a system with this stage."""
        with (
            FakeApi(self.stage) as api,
            console_process(api.url, api.admin_url) as console,
            Site(console.url, self.stage, self.browser).page(path) as page,
        ):
            yield page


def overflow(page: Page) -> int:
    """How many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def rooms_of(panel: Locator) -> list[str]:
    """The ids of a list's rooms, in order."""
    return panel.locator(".tc-item .tc-mono").all_inner_texts()


def curl_of(page: Page, panel: Locator) -> str:
    """The command that a panel gives for a shell."""
    panel.get_by_role("button", name="copy as curl").click()
    command = page.locator(".tc-curl").inner_text()
    page.get_by_role("button", name="Close").click()
    page.locator(".tc-curl").wait_for(state="hidden")
    return command
