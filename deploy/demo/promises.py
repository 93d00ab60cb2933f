"""The judgement of a demo's run: whether the design's promises held. Never asks, fetches or prints anything."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from deploy.http.prometheus_text import Exposition
from deploy.http.status import SystemStatus
from tidecast_client import Answer

# An end is applied a few tenths of a second after the broker has it. If a room is shown 3 s after that, the cause is no
# slow message any more: a worker or a replica does not do its work.
ENDED_GRACE_MS = 3_000
UNREAD_GRACE_MS = 30_000  # no text waits longer while the encoder has capacity
FRESHNESS_P50_LIMIT_S = 1.0
STALE_LOOKS_LIMIT = 3  # looks in a row with rooms waiting beside an idle encoder; one may fall between two batches
BUSY_SHARE = 0.5  # share of the time; an encoder that works less has capacity


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict in words: what was checked, which promises were broken, and where the machine was too slow.

    broken: wrong answers and ended processes, never the machine's fault. slow: only freshness suffered.
    """

    answers: int
    items: int
    freshness_p50_s: float | None
    freshness_p99_s: float | None
    broken: tuple[str, ...]
    slow: tuple[str, ...] = ()


class Promises:
    """Collects evidence from any thread; `verdict` judges it.

    ended_at_ms: gives the broker's time of a room's end, None for a room that has not ended.
    """

    def __init__(self, ended_at_ms: Callable[[str], int | None]) -> None:
        self._ended_at_ms = ended_at_ms
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._stale_looks = 0
        self._last: tuple[Exposition, float] | None = None
        self._pids: dict[tuple[str, int], int] = {}
        self._forgiven: set[int] = set()

    def check_answer(self, answer: Answer, began_ms: int) -> None:
        """Checks every item of an answer to a request that was sent at `began_ms`."""
        with self._lock:
            self._seen["answers"] += 1
            self._seen["items"] += len(answer.rooms)
            for item in answer.rooms:
                ended_ms = self._ended_at_ms(item.room)
                if ended_ms is not None and began_ms > ended_ms + ENDED_GRACE_MS:
                    self._note("dead", f"{item.room}, {(began_ms - ended_ms) / 1000:.1f} s after its end")
                receipt = item.receipt
                # a room that has just started may be shown before its title is encoded: its receipt names no encoder
                named = receipt.encoder_version or answer.generated_at_ms - item.started_at_ms < UNREAD_GRACE_MS
                if receipt.servable_ms <= 0 or not named or not receipt.model_version:
                    self._note("receipt", f"{item.room}: {receipt}")
                if not item.reason:
                    self._note("reason", item.room)

    def check_error(self, what: str) -> None:
        """Notes a request that got no answer."""
        with self._lock:
            self._note("error", what)

    def check_metrics(self, now: Exposition, at_s: float) -> None:
        """Notes whether rooms wait longer than 30 s although the encoder has capacity. at_s: of any one clock."""
        with self._lock:
            before, before_s = self._last or (now, at_s)
            self._last = (now, at_s)
            worked_s = now.total("tidecast_encode_seconds_sum") - before.total("tidecast_encode_seconds_sum")
            idle = worked_s < BUSY_SHARE * (at_s - before_s)
            stale = now.total("tidecast_rooms_stale")
            self._stale_looks = self._stale_looks + 1 if stale and idle else 0
            if self._stale_looks >= STALE_LOOKS_LIMIT:
                self._note("stale", f"{stale:.0f} rooms")

    def forgive(self, pid: int) -> None:
        """Somebody kills this process on purpose: that it is replaced is what they want to see."""
        with self._lock:
            self._forgiven.add(pid)

    def check_processes(self, status: SystemStatus) -> None:
        """Notes each process that was replaced since the last look."""
        with self._lock:
            for post in status.processes:
                before = self._pids.get((post.name, post.rank), post.pid)
                if before != post.pid and before not in self._forgiven:
                    self._note("replaced", f"{post.name} {post.rank}, pid {before}")
                self._pids[post.name, post.rank] = post.pid

    def verdict(self, now: Exposition, since: Exposition) -> Verdict:
        """The judgement over everything noted and over the metrics from `since` to `now`."""
        p50_s = now.quantile("tidecast_freshness_seconds", 0.5, since, stage="total")
        p99_s = now.quantile("tidecast_freshness_seconds", 0.99, since, stage="total")
        with self._lock:
            broken = [
                self._said("dead", "an ended room was in an answer"),
                self._said("receipt", "an item had no complete receipt"),
                self._said("reason", "an item did not say why it was chosen"),
                self._said("error", "a request failed"),
                self._said("replaced", "a process ended by itself or was killed, and another took its place"),
            ]
            slow = [self._said("stale", "rooms waited for longer than 30 s beside an encoder that was not full")]
            if not self._seen["items"]:
                broken.append(f"no room was recommended in {self._seen['answers']} answers")
            if dead := now.total("tidecast_dead_rooms_returned_total"):
                broken.append(f"dead_rooms_returned_total is {dead:.0f}; it must stay 0")
            if p50_s is None:
                broken.append("no chat message became servable")
            elif p50_s > FRESHNESS_P50_LIMIT_S:
                slow.append(f"half of the chat took longer than {p50_s:.2f} s to become servable; 1 s is promised")
            said = tuple(filter(None, broken)), tuple(filter(None, slow))
            return Verdict(self._seen["answers"], self._seen["items"], p50_s, p99_s, *said)

    def _note(self, kind: str, example: str) -> None:
        self._seen[kind] += 1
        self._examples.setdefault(kind, example)

    def _said(self, kind: str, sentence: str) -> str:
        count = self._seen[kind]
        return f"{sentence}: {count} times, first {self._examples[kind]}" if count else ""
