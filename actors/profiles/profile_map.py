"""The serialised profiles of one partition: those used lately in memory, the others in a file. Never asks the log.

While all fit into the budget there is no file. With one, a profile in memory is in one of three states:

- pending: published, and not known to be committed. It is not written to the file, which so never leads the log.
- unwritten: committed, and the file has an older value or none. It is written before it may be evicted.
- written: the file has it too.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import msgspec

from actors.profiles.store import Mark, Row
from actors.profiles.store_folder import OpenStore, StoreFolder
from streaming.clock import Clock
from streaming.errors import StoreDamaged, StoreUnwritable
from streaming.metrics import Metrics
from streaming.viewer.presence import is_erased, presence_of

LOGGER = logging.getLogger(__name__)

# Beside key and value: 170 bytes of headers and of an OrderedDict's entry, measured, and some for what a file needs
ENTRY_BYTES = 250
SLICE_ROWS = 500  # written in one transaction
RETRY_MS = 30_000  # after the file could not be written
LAST_WRITES_S = 5.0  # at the end of a process, for what the file lacks


class ProfileMap:
    """A map of keys to serialised profiles. For one thread, but for `peek`, which any thread may call.

    Whatever reads or writes raises StoreDamaged where the file is: it is thrown away then, and this map is void.
    """

    def __init__(
        self,
        index: int,
        metrics: Metrics,
        clock: Clock,
        *,
        folder: StoreFolder | None = None,
        made: int = 0,
        partitions: int = 0,
        budget_bytes: int = 1 << 62,
        accepts: Callable[[bytes], bool] | None = None,
    ) -> None:
        """folder: where files lie; None: all is kept in memory, whatever the budget.

        made, partitions: the topic's making, and among how many partitions keys are divided. accepts: which of the
        keys that are read from the log belong here; by default all.
        """
        self.index = index
        self.partitions = partitions
        self.budget_bytes = budget_bytes
        self._folder = folder
        self._made = made
        self._metrics = metrics
        self._clock = clock
        self._accepts = accepts
        self._hot: OrderedDict[bytes, bytes] = OrderedDict()  # least recently used first
        self.hot_bytes = 0  # estimated
        self._opened: OpenStore | None = None
        self._stored = 0  # rows of the file
        self._pending: set[bytes] = set()
        self._removing: set[bytes] = set()  # in the file, and deleted by what is pending
        self._unwritten: dict[bytes, None] = {}
        self._gone: set[bytes] = set()  # in the file, and deleted on the log
        self._new: set[bytes] = set()  # in memory, not in the file; every other one in memory is in both
        self._erased: set[bytes] = set()  # to be written at once
        self._traces = False  # the write-ahead log may hold what was erased
        self._retry_ms = 0
        self._marking: dict[bytes, None] | None = None  # what is to be written before the next mark is true
        self._mark_offset = 0
        self._proven = False  # whether a commit has shown, after the mark was begun, that the partition is still ours
        self._marked_ms = clock.now_ms()
        self._unseen: list[bytes] = []  # of the present round
        self._seen_id: int | None = None  # the last row that was looked at; None where no round goes on in the file

    def __len__(self) -> int:
        if self._opened is None:
            return len(self._hot)
        return self._stored + len(self._new) - len(self._gone) - len(self._removing)

    @property
    def hot(self) -> int:
        """Number of profiles in memory."""
        return len(self._hot)

    @property
    def store_bytes(self) -> int:
        """Bytes of the file."""
        return 0 if self._opened is None else self._opened.store.size_bytes()

    # what is read and published

    def get(self, key: bytes) -> bytes | None:
        """A profile as it was published last, which then is in memory."""
        value = self._hot.get(key)
        if value is not None:
            self._hot.move_to_end(key)
        elif self._opened is not None:
            value = self.peek(key)
            if value is not None:
                self._keep(key, value)
        return value

    def peek(self, key: bytes) -> bytes | None:
        """A profile as it was published last. Changes nothing. Any thread may call it."""
        value, opened = self._hot.get(key), self._opened
        if value is not None or opened is None or key in self._gone or key in self._removing:
            return value
        began_s = time.perf_counter()
        try:
            value = opened.store.read(key)
        except StoreDamaged:
            if self._opened is not opened:  # it was closed meanwhile
                return None
            raise
        self._metrics.observe("profile_store_read_seconds", time.perf_counter() - began_s)
        self._metrics.count("profile_store_reads_total", outcome="none" if value is None else "found")
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Puts a profile that is published, and not committed yet."""
        if self._opened is not None:
            if key not in self._hot and self._lacks(key):
                self._new.add(key)
            self._unwritten.pop(key, None)
            if is_erased(key, value):
                self._erased.add(key)
        self._keep(key, value)
        self._pending.add(key)

    def remove(self, key: bytes) -> None:
        """Removes a profile that is deleted on the log, which is not committed yet."""
        self._drop(key)
        if self._opened is not None and key not in self._new:
            self._removing.add(key)
        self._new.discard(key)

    def _lacks(self, key: bytes) -> bool:
        """Whether the file lacks a key that is not in memory. It is then no longer to be deleted there."""
        if key in self._gone or key in self._removing:
            self._gone.discard(key)
            self._removing.discard(key)
            return False
        return self.peek(key) is None

    def _keep(self, key: bytes, value: bytes) -> None:
        hot = self._hot
        before = hot.get(key)
        self.hot_bytes += len(key) + len(value) + ENTRY_BYTES if before is None else len(value) - len(before)
        hot[key] = value
        hot.move_to_end(key)

    def _drop(self, key: bytes) -> None:
        value = self._hot.pop(key, None)
        if value is not None:
            self.hot_bytes -= len(key) + len(value) + ENTRY_BYTES
        self._pending.discard(key)
        self._unwritten.pop(key, None)
        self._erased.discard(key)

    # what is read from the log: `restore.Values`

    def reuse(self) -> int:
        """Opens a file that another process has left; the offset from which the log is to be read on, 0 without one."""
        if self._folder is None or not self._made:
            return 0
        try:
            self._opened = self._folder.reuse(self.index, self._made, self.partitions)
        except StoreUnwritable as err:
            self._cannot_write(err)
        return 0 if self._opened is None else self._opened.next_offset

    def pop(self, key: bytes, _default: None = None) -> None:
        """Removes a key of which the log has something newer."""
        self._drop(key)
        if self._opened is not None:
            self._gone.add(key)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        if self._accepts is not None and not self._accepts(key):
            return
        self._keep(key, value)
        if self._opened is not None:
            self._gone.discard(key)
            self._unwritten[key] = None
        if self.hot_bytes > self.budget_bytes:
            self._evict()

    def clear(self) -> None:
        """Forgets everything, in the file too."""
        self.close(keep=False)
        for held in (self._hot, self._unwritten, self._gone, self._new, self._erased, self._pending, self._removing):
            held.clear()
        self.hot_bytes = 0

    def restored(self, next_offset: int) -> None:
        """Notes that everything below this offset was read."""
        if self._opened is None:
            return
        self._marking, self._mark_offset, self._proven = dict(self._unwritten), next_offset, True
        self._attempt(lambda: self._write_mark(math.inf))
        self._stored = self._opened.store.count()
        self._new = set()  # all is written, or else not known

    def present(self) -> Iterator[tuple[bytes, bytes]]:
        """Profiles among which all are of viewers who are in a room."""
        if self._opened is None:
            yield from self._hot.items()
            return
        for key in {*self._opened.store.present(), *self._unwritten}:
            value = self.peek(key)
            if value is not None:
                yield key, value

    def drop_others(self) -> None:
        """Deletes files of this partition that ended processes have left."""
        if self._folder is not None:
            self._folder.drop_others(self.index, self._made)

    # what is written to the file

    def confirm(self) -> None:
        """Notes that everything put and removed so far is committed."""
        if self._opened is not None:
            self._unwritten.update(dict.fromkeys(self._pending))
            self._gone |= self._removing
            self._removing.clear()
            self._proven = self._marking is not None
        self._pending.clear()

    def tidy(self, until_s: float) -> None:
        """Writes erasures, evicts what is over the budget, and goes on with the mark until `until_s`, monotonic.

        Call it after `confirm`, before anything else is put.
        """
        if self._opened is not None and self._opened.store.is_damaged:  # found by another thread
            raise StoreDamaged(f"the profiles of partition {self.index} were not read from their file")
        if self._erased or self._gone or self._traces:
            self._attempt(self._erase)
        if self.hot_bytes > self.budget_bytes:
            self._evict()
        if self._marking is not None:
            self._attempt(lambda: self._write_mark(until_s))

    def wants_mark(self, every_ms: int) -> bool:
        """Whether the file should soon say that it holds more."""
        due = self._clock.now_ms() - self._marked_ms >= every_ms
        return due and self._opened is not None and self._marking is None

    def begin_mark(self, offset: int) -> None:
        """Begins to write all that the log has below `offset`, its end now. Call it between `confirm` and `put`.

        The mark counts once the commit of what is put next is confirmed: before it, another worker may have written.
        """
        self._marked_ms = self._clock.now_ms()
        self._marking, self._mark_offset, self._proven = dict(self._unwritten), offset, False

    def close(self, *, keep: bool) -> None:
        """Ends. keep: leaves the file to the next process, with all that can be written in some seconds."""
        opened = self._opened
        if opened is None:
            return
        if keep and not opened.store.is_damaged and not self._pending and self._proven and self._marking is not None:
            self._attempt(lambda: self._write_mark(time.monotonic() + LAST_WRITES_S))
        self._opened = None
        opened.close(keep=keep)

    def _evict(self) -> None:
        """Evicts until the rest is within the budget. What cannot be written stays."""
        if self._clock.now_ms() < self._retry_ms or (self._opened is None and not self._open()):
            return
        while self.hot_bytes > self.budget_bytes:
            oldest = [key for key in islice(self._hot, 2 * SLICE_ROWS) if key not in self._pending][:SLICE_ROWS]
            wanted: list[bytes] = []
            spared = self.hot_bytes - self.budget_bytes
            for key in oldest:
                wanted.append(key)
                spared -= len(key) + len(self._hot[key]) + ENTRY_BYTES
                if spared <= 0 and len(wanted) >= SLICE_ROWS // 5:  # some more, so that writes come in slices
                    break
            unwritten = [key for key in wanted if key in self._unwritten]
            if not wanted or (unwritten and not self._attempt(partial(self._write, unwritten))):
                return
            for key in wanted:
                self._drop(key)

    def _open(self) -> bool:
        if self._folder is None:
            return False
        try:
            self._opened = self._folder.make(self.index, self._made, self.partitions)
        except StoreUnwritable as err:
            self._cannot_write(err)
            return False
        self._stored = 0
        self._unwritten = {key: None for key in self._hot if key not in self._pending}
        self._new = set(self._hot)
        return True

    def _erase(self) -> None:
        """Overwrites what the file has of erased viewers, and of those whose profiles have ended."""
        assert self._opened is not None
        self._write([key for key in self._erased if key in self._unwritten])
        self._erased.clear()
        self._traces = not self._opened.store.leave_no_trace()

    def _write_mark(self, until_s: float) -> None:
        """Writes what the mark needs, and then the mark, if it is proven."""
        assert self._opened is not None
        assert self._marking is not None
        if self._pending:  # they may be among those to be written
            return
        while self._marking and time.monotonic() < until_s:
            keys = list(islice(self._marking, SLICE_ROWS))
            self._write([key for key in keys if key in self._unwritten])
            for key in keys:
                del self._marking[key]
        if not self._marking and self._proven:
            self._write([], replace(self._opened.mark, next_offset=self._mark_offset, at_ms=self._clock.now_ms()))
            self._marking = None

    def _write(self, keys: Collection[bytes], mark: Mark | None = None) -> None:
        """Writes unwritten profiles, and deletes those that are gone, in one transaction."""
        assert self._opened is not None
        rows = [_row(key, self._hot[key]) for key in keys]
        self._stored += self._opened.store.write(rows, list(self._gone), mark)
        self._gone.clear()
        for key in keys:
            self._unwritten.pop(key, None)
            self._new.discard(key)

    def _attempt(self, write: Callable[[], None]) -> bool:
        """Writes, unless that has failed lately; whether it succeeded. Where it cannot, profiles stay in memory."""
        if self._clock.now_ms() < self._retry_ms:
            return False
        try:
            write()
        except StoreUnwritable as err:
            self._cannot_write(err)
            return False
        return True

    def _cannot_write(self, err: StoreUnwritable) -> None:
        self._retry_ms = self._clock.now_ms() + RETRY_MS
        self._metrics.count("profile_store_failures_total")
        LOGGER.warning("profiles stay in memory for want of room on disk; it is tried again in 30 s: %s", err)

    # the look at all of them

    def begin_round(self) -> None:
        """Begins a look at all profiles."""
        self._unseen = list(self._hot if self._opened is None else self._new)
        self._seen_id = None if self._opened is None else 0

    @property
    def is_round_over(self) -> bool:
        """Whether all have been looked at."""
        return not self._unseen and self._seen_id is None

    def look(self, most: int, silent_until_ms: int, erased_until_ms: int) -> Sequence[bytes]:
        """Looks at the next profiles, at most so many; returns keys among which are all whose time has come.

        silent_until_ms, erased_until_ms: append times of the last event, and of an erasure.
        """
        if self._unseen or self._seen_id is None or self._opened is None:
            return [self._unseen.pop() for _ in range(min(most, len(self._unseen)))]
        last, silent = self._opened.store.after(self._seen_id, most)
        self._seen_id = last or None
        return [one.key for one in silent if one.appended_ms <= (erased_until_ms if one.erased else silent_until_ms)]

    def look_again(self, keys: Iterable[bytes]) -> None:
        """Puts keys back that were not dealt with."""
        self._unseen.extend(keys)


def _row(key: bytes, value: bytes) -> Row:
    try:
        presence = presence_of(value)
    except msgspec.DecodeError:  # it is no profile, which is reported at its first use; it never ends
        return Row(key, 0, True, False, value)
    return Row(key, presence.appended_ms, presence.room is not None, presence.is_erased, value)
