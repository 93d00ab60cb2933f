"""What the console costs: the share of a core that its process takes, with nobody there and with ten open tabs.

    python -m tests.bench.console [--rooms 1000] [--tabs 10] [--seconds 20] [--view Map]

The API is a made-up one in a process of its own, over real HTTP; the tabs are Chromium's. Neither is counted. Its
exit code is 1 where a figure is above what is promised: IDLE with nobody there, BUSY with ten tabs and 1,000 rooms.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import psutil

from deploy.http.client import Client, NotUp
from streaming.machine.ports import free_ports
from tests.console_process import chromium_browser, console_process

VIEWS = {
    "Live": ("/", ".tc-row"),
    "Viewer, the same two for all": ("/viewer?a=v000017&b=nobody", ".tc-item"),
    "Viewer, two others for each": ("/viewer?a=v{tab:06d}&b=n{tab}", ".tc-item"),
    "Ask, the same for all": ("/ask?viewer=v000017&q=chess&text=kettle&disliked=room-0005", ".tc-pull"),
    "Ask, another for each": ("/ask?viewer=v{tab:06d}&q=chess+{tab}&text=kettle+{tab}&disliked=room-0005", ".tc-pull"),
    "Map": ("/map", ".tc-map canvas"),
    "Health": ("/health", ".tc-table tbody tr"),
}
SETTLE_S = 3.0
IDLE, BUSY = 0.02, 0.30  # shares of a core


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=1_000)
    parser.add_argument("--tabs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--view", action="append", help="only those whose names begin so; repeatable")
    args = parser.parse_args()
    port = free_ports(1)[0]  # and the one after it, for metrics and state
    api = subprocess.Popen([sys.executable, "-m", "tests.console_api", str(port), str(args.rooms)])
    url = f"http://127.0.0.1:{port}"
    try:
        await_up(url)
        with console_process(url) as console, chromium_browser() as browser:
            process = psutil.Process(console.process.pid)
            print(f"{args.rooms} rooms; share of a core over {args.seconds:.0f} s, resident memory")
            time.sleep(SETTLE_S)
            over = [show("nobody, before the first tab", process, args.seconds, IDLE)]
            for name, (path, row) in VIEWS.items():
                if args.view and not name.startswith(tuple(args.view)):
                    continue
                contexts = []
                for tab in range(args.tabs):
                    context = browser.new_context()
                    contexts.append(context)
                    page = context.new_page()
                    page.goto(console.url + path.format(tab=tab))
                    page.locator(row).first.wait_for()
                contexts[-1].pages[0].wait_for_timeout(SETTLE_S * 1_000)
                before = [context.pages[0].inner_text("main") for context in contexts]
                over.append(show(f"{args.tabs} tabs, {name}", process, args.seconds, BUSY))
                after = [context.pages[0].inner_text("main") for context in contexts]
                if any(old == new for old, new in zip(before, after, strict=True)):
                    raise SystemExit(f"{name}: a tab shows what it showed {args.seconds:.0f} s ago")
                for context in contexts:
                    context.close()
            time.sleep(15)  # closed tabs keep their state for 10 s, in case they come back
            over.append(show("nobody, after the last tab", process, args.seconds, IDLE))
        if any(over):
            raise SystemExit("a figure is above what is promised")
    finally:
        api.kill()
        api.wait()


def await_up(url: str) -> None:
    client = Client(url)
    for _ in range(200):
        try:
            client.rooms(limit=1)
        except NotUp:
            time.sleep(0.1)
        else:
            client.close()
            return
    raise SystemExit("the made-up API does not start")


def show(what: str, process: psutil.Process, seconds: float, promised: float) -> bool:
    """Measures and prints; returns whether the share is above what is promised."""
    before, began_s = process.cpu_times(), time.monotonic()
    time.sleep(seconds)
    after, passed_s = process.cpu_times(), time.monotonic() - began_s
    share = (after.user + after.system - before.user - before.system) / passed_s
    over = share > promised
    said = f"   above {promised:.0%}" if over else ""
    print(f"  {what:<44} {share:6.1%}   {process.memory_info().rss / 1e6:4.0f} MB{said}", flush=True)
    return over


if __name__ == "__main__":
    main()
