"""Pictures of the console for the documents, of made-up rooms. No test is here.

python -m tests.screenshots docs        writes console-live.png, -viewer, -ask, -map and -health
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.console_api import FakeApi, Stage
from tests.console_process import chromium_browser, console_process

SIZE = {"width": 1280, "height": 760}
HISTORY_MS = 75_000  # for lines that show something
LINE = "what a comeback, nobody expected that"


def main(folder: Path) -> None:
    stage = Stage(rooms=180)
    with (
        FakeApi(stage) as api,
        console_process(api.url, api.admin_url, ["--viewer", "v000017", "--viewer", "v000042"]) as console,
        chromium_browser() as browser,
    ):
        live, health, rooms = (browser.new_page(viewport=SIZE, color_scheme="light") for _ in range(3))  # type: ignore[arg-type]
        live.goto(console.url)
        health.goto(f"{console.url}/health")
        rooms.goto(f"{console.url}/map")
        live.locator(".tc-row").first.wait_for()
        live.wait_for_timeout(HISTORY_MS)
        live.locator(".tc-row").nth(6).click()
        live.get_by_label("chat line", exact=True).fill(LINE)
        live.keyboard.press("Enter")
        live.locator(".tc-steps").get_by_text("→ 1").first.wait_for()
        live.mouse.move(0, 0)
        live.screenshot(path=folder / "console-live.png")
        health.screenshot(path=folder / "console-health.png")
        rooms.get_by_label("Moved most").locator(".tc-row").first.click()
        rooms.get_by_label("Room", exact=True).get_by_text("streamer").wait_for()
        rooms.mouse.move(0, 0)
        rooms.screenshot(path=folder / "console-map.png")
        ask = browser.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        ask.goto(f"{console.url}/ask?q=late%20night%20music&viewer=v000017&text=chess&disliked=room-0005")
        for name in ("Search", "With the steer"):
            ask.get_by_label(name, exact=True).locator(".tc-pull").first.wait_for()
        ask.wait_for_timeout(1_500)
        ask.screenshot(path=folder / "console-ask.png")
        stage.learned = True
        viewer = browser.new_page(viewport=SIZE, color_scheme="dark")  # type: ignore[arg-type]
        viewer.goto(f"{console.url}/viewer?a=v000017&b=v000017&vb=v0")
        viewer.get_by_label("Beside", exact=True).get_by_role("button", name="why").first.click()
        viewer.locator("canvas").wait_for()
        viewer.wait_for_timeout(1_500)
        viewer.screenshot(path=folder / "console-viewer.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
