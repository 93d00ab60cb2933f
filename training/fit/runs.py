"""The runs of a training: which one to go on with, where its checkpoints are, and what is left when it is over.

Without a store all of it is in the training folder, and ends with its disk. With one, a run goes on on any host.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from streaming.archive.store import open_store
from streaming.errors import ArchiveError, TrainingError
from training.fit.run_folder import RunFolder, open_run_folder
from training.fit.run_holder import BEAT_S, SILENT_S, Holder, RunHolder
from training.fit.run_store import RunStore, StoredRun, TransferProgress

LOGGER = logging.getLogger(__name__)
RUN, CHECKPOINTS = "run", "checkpoints"
OVER = "over"  # a file in the folder of a run that was published, or cannot be gone on with
# An older run is not gone on with: what it learned from is old by then, and one that fails each night must end
MAX_AGE_MS = 3 * 24 * 3_600_000


class Runs:
    """The runs of a training folder, as a context manager in which this process has the one that it trains.

    Another training in the same store at the same time has another run; each leaves the other's alone.
    """

    def __init__(self, folder: Path, checkpoints: str, *, beat_s: float = BEAT_S, silent_s: float = SILENT_S) -> None:
        """checkpoints: an absolute folder or a URI, "" for the training folder. Raises ArchiveError: no such store."""
        self.folder = folder / RUN
        self.storage = checkpoints or str(folder / CHECKPOINTS)
        self._beat_s, self._silent_s = beat_s, silent_s
        opened = open_store(checkpoints, "training.checkpoints", "training.checkpoints") if checkpoints else None
        self._stored = RunStore(opened) if opened is not None else None
        self._holder: RunHolder | None = None
        self._seen: dict[str, Holder | None] = {}
        self._seen_s = 0.0

    def __enter__(self) -> Self:
        """Looks into the store, so that one that is down is said before the work. Raises ArchiveError."""
        if self._stored is not None:
            self._stored.store.prepare()
            self._seen, self._seen_s = self._stored.holders(), time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def unfinished(
        self, now_ms: int, progress: TransferProgress, is_settled: Callable[[str], bool] = lambda _: False
    ) -> RunFolder | None:
        """The newest run that was stopped and can be gone on with, from here or from the store; else None.

        is_settled: whether a version was judged already. Blocks while it waits for a sign of life of who had the run,
        and while it is fetched. Raises ArchiveError, TrainingError.
        """

        def is_of_use(version: str, created_at_ms: int) -> bool:
            return now_ms - created_at_ms <= MAX_AGE_MS and not is_settled(version)

        here = self._here()
        if here is not None and not is_of_use(here.plan.origin.version, here.plan.origin.created_at_ms):
            here = None
        if self._stored is None:
            return here
        stored = [run for run in self._stored.whole() if is_of_use(run.version, run.created_at_ms)]
        newest_ms = max((run.created_at_ms for run in stored), default=0)
        if here is not None and here.plan.origin.created_at_ms > newest_ms:
            return here  # it was stopped before all of it was in the store
        for run in stored:
            if self._claimed(run.name, progress):
                found = here if here is not None and here.name == run.name else self._fetched(run, progress)
                if found is not None:
                    return found
                self._release()
        return None

    def begin(self, run: RunFolder, progress: TransferProgress) -> None:
        """Makes a run this process's, and whole in the store; then removes those that nobody trains.

        Blocks. Raises ArchiveError, TrainingError.
        """
        if self._stored is None:
            return
        if self._holder is None:
            self._holder = self._claim_of(run.name)
            self._holder.claim()
            progress.began(f"keeping what it learns from in {self._stored.store.masked_uri}")
            self._stored.save(run, progress)
        self._clear()

    def require(self) -> None:
        """Raises TrainingError: another process has taken this one for dead, and has the run; ArchiveError."""
        if self._holder is not None:
            self._holder.require()

    def over(self) -> None:
        """Ends the run: it was published, or can never be. A store that is unreachable by then is logged."""
        shutil.rmtree(self.folder.with_name(CHECKPOINTS), ignore_errors=True)
        if self.folder.is_dir():
            (self.folder / OVER).touch()
        if self._stored is None or self._holder is None:
            return
        name, is_own = self._holder.name, self._release()
        try:
            if is_own:
                self._stored.remove(name)
            self._clear()
        except ArchiveError as err:
            LOGGER.warning("training: the run that is over stays in the store until the next one: %s", err)

    def _here(self) -> RunFolder | None:
        if (self.folder / OVER).exists():
            return None
        try:
            return open_run_folder(self.folder)
        except TrainingError:
            return None

    def _claim_of(self, name: str) -> RunHolder:
        assert self._stored is not None  # asked where there is a store
        return RunHolder(self._stored.store, name, beat_s=self._beat_s, silent_s=self._silent_s)

    def _claimed(self, name: str, progress: TransferProgress) -> bool:
        """Whether nobody trains the run; it is this process's then."""
        claim, had = self._claim_of(name), self._seen.get(name)
        if had is not None:
            progress.began(f"waiting whether {had.host} (process {had.process}) still trains run {name}")
        other = claim.other()
        if other is not None:
            LOGGER.warning("training: run %s is trained by process %d of %s", name, other.process, other.host)
            return False
        claim.claim()
        self._holder = claim
        return True

    def _release(self) -> bool:
        """Lets go of the run; whether it was this process's."""
        holder, self._holder = self._holder, None
        return holder is not None and holder.release()

    def _fetched(self, run: StoredRun, progress: TransferProgress) -> RunFolder | None:
        assert self._stored is not None
        progress.began(f"fetching run {run.name}, of version {run.version}, from {self._stored.store.masked_uri}")
        return self._stored.fetch(run, self.folder, progress)

    def _clear(self) -> None:
        """Removes other runs whose holders gave no sign since this training began, if that is long enough ago."""
        assert self._stored is not None
        is_long_ago = time.monotonic() - self._seen_s >= self._silent_s
        own = self._holder.name if self._holder is not None else ""
        for name, holder in self._stored.holders().items():
            is_left = name in self._seen and self._seen[name] == holder and (holder is None or is_long_ago)
            if name != own and is_left:
                LOGGER.info("training: run %s, which nobody trains, is removed", name)
                self._stored.remove(name)
