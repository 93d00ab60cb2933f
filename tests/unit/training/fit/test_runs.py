"""Runs that go on on an empty disk, beside each other, after uploads that were cut short. Nothing is learned here."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.archive.store import FolderStore
from streaming.errors import ArchiveError, TrainingError
from streaming.recorded.recording import Recording
from streaming.recorded.replay import Replay
from streaming.room.window_config import WindowConfig
from tests.fake_encoder import FAKE_DIMENSION, FAKE_VERSION, fake_vectors
from tests.unit.training.recorded.recorded_chat import crowd, write
from training.examples.schema import ExamplesConfig
from training.examples.writer import write_recorded
from training.fit.run import make_run_folder
from training.fit.run_folder import RunFolder
from training.fit.run_holder import HOLDER
from training.fit.run_store import RUN
from training.fit.runs import MAX_AGE_MS, Runs
from training.settings import TrainingConfig

NOW_MS = 1_800_000_000_000
BEAT_S, SILENT_S = 0.02, 0.1


class Quiet:
    version, dimension = FAKE_VERSION, FAKE_DIMENSION

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.bytes: list[tuple[int, int]] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        return fake_vectors(texts)

    def passed(self, records: int, examples: int, at_ms: int) -> None: ...

    def encoded(self, done: int, total: int) -> None: ...

    def began(self, stage: str) -> None:
        self.stages.append(stage)

    def transferred(self, done: int, total: int) -> None:
        self.bytes.append((done, total))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("chat") / "chat.parquet", crowd(3, num_messages=600))


class Hosts:
    """Hosts that share a store, each with a disk of its own."""

    def __init__(self, place: Path, recording: Path) -> None:
        self.place, self.recording = place, recording
        self.store = place / "store"
        self.uri = f"file://{self.store}"

    def runs(self, host: str) -> Runs:
        return Runs(self.place / host, self.uri, beat_s=BEAT_S, silent_s=SILENT_S)

    def made(self, host: str, now_ms: int = NOW_MS) -> RunFolder:
        """A run folder on a host's disk, as a training makes it."""
        replay, quiet = Replay(Recording.open(self.recording, "chat")), Quiet()
        return make_run_folder(
            self.place / host / "run",
            lambda examples: write_recorded(replay, examples, ExamplesConfig(), quiet),
            quiet,
            TrainingConfig(),
            window=WindowConfig(),
            title_weight=0.4,
            now_ms=now_ms,
            encoding=quiet,
        )

    def killed(self, host: str, now_ms: int = NOW_MS) -> RunFolder:
        """A run that was killed while it learned: nothing more is written, and nothing was let go of."""
        runs = self.runs(host)
        runs.__enter__()
        run = self.made(host, now_ms)
        runs.begin(run, Quiet())
        claim = self.store / run.name / HOLDER
        last = claim.read_bytes()
        runs.__exit__(None, None, None)
        claim.write_bytes(last)
        return run

    def names(self) -> set[str]:
        return {path.name for path in self.store.iterdir() if path.name.startswith("fit-")}


@pytest.fixture
def hosts(tmp_path: Path, recording: Path) -> Hosts:
    return Hosts(tmp_path, recording)


def contents(run: RunFolder) -> dict[str, bytes]:
    return {path: (run.folder / path).read_bytes() for path in run.files}


def test_a_killed_run_goes_on_on_an_empty_disk_with_all_that_it_had(hosts: Hosts) -> None:
    run = hosts.killed("a")
    before, quiet = contents(run), Quiet()
    with hosts.runs("b") as runs:
        found = runs.unfinished(NOW_MS, quiet)
        assert found is not None
        assert (found.name, found.folder) == (run.name, hosts.place / "b" / "run")
        assert contents(found) == before
        runs.begin(found, quiet)
        assert runs.storage == hosts.uri
        runs.require()
    assert quiet.stages[0].startswith("waiting whether ")
    assert quiet.bytes[-1][0] == quiet.bytes[-1][1] == sum(map(len, before.values()))


def test_what_is_on_this_hosts_disk_is_not_fetched(hosts: Hosts) -> None:
    run, quiet = hosts.killed("a"), Quiet()
    with hosts.runs("a") as runs:
        found = runs.unfinished(NOW_MS, quiet)
    assert found is not None
    assert found.name == run.name
    assert quiet.bytes == []


def test_a_run_that_ended_in_order_is_not_waited_for(hosts: Hosts) -> None:
    with hosts.runs("a") as runs:
        runs.begin(hosts.made("a"), Quiet())
    quiet = Quiet()
    with hosts.runs("b") as runs:
        assert runs.unfinished(NOW_MS, quiet) is not None
    assert [stage.partition(" ")[0] for stage in quiet.stages] == ["fetching"]


def test_a_run_that_lives_is_left_alone(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    with hosts.runs("a") as first:
        run = hosts.made("a")
        first.begin(run, Quiet())
        with hosts.runs("b") as second:
            assert second.unfinished(NOW_MS, Quiet()) is None
            second.begin(hosts.made("b", NOW_MS + 1), Quiet())
            assert len(hosts.names()) == 2
            second.over()
        first.require()
        assert hosts.names() == {run.name}
        first.over()
    assert hosts.names() == set()
    assert "is trained by process" in caplog.text


def test_two_that_go_on_with_one_run_find_out_and_one_of_them_ends(hosts: Hosts) -> None:
    hosts.killed("a")
    with hosts.runs("b") as first:
        first.unfinished(NOW_MS, Quiet())
        claim = next(hosts.store.glob(f"fit-*/{HOLDER}"))
        theirs = claim.read_bytes().replace(b'"token":"', b'"token":"0')
        with pytest.raises(TrainingError, match="is another process's by now"):
            for _ in range(100):  # a sign of life of the first may just be on its way, and hide the other's claim
                claim.write_bytes(theirs)
                first.require()
        first.over()
    assert len(hosts.names()) == 1, "what another goes on with stays"


def test_a_run_that_was_found_to_be_anothers_stays_though_a_late_sign_of_life_hides_that_again(hosts: Hosts) -> None:
    hosts.killed("a")
    with hosts.runs("b") as first:
        first.unfinished(NOW_MS, Quiet())
        claim = next(hosts.store.glob(f"fit-*/{HOLDER}"))
        own = claim.read_bytes()
        with pytest.raises(TrainingError, match="is another process's by now"):
            for _ in range(100):
                claim.write_bytes(own.replace(b'"token":"', b'"token":"0'))
                first.require()
        claim.write_bytes(own)
        first.over()
    assert len(hosts.names()) == 1


def test_an_upload_that_was_cut_short_is_no_run_and_goes_with_the_next(hosts: Hosts) -> None:
    class Cut(Quiet):
        def transferred(self, done: int, total: int) -> None:
            if done > total // 2:
                raise KeyboardInterrupt

    run = hosts.made("a")
    with pytest.raises(KeyboardInterrupt), hosts.runs("a") as runs:
        runs.begin(run, Cut())
    assert hosts.names() == {run.name}
    with hosts.runs("b") as runs:
        assert runs.unfinished(NOW_MS, Quiet()) is None
        other = hosts.made("b", NOW_MS + 1)
        runs.begin(other, Quiet())
        assert hosts.names() == {other.name}
    with hosts.runs("a") as runs:
        found = runs.unfinished(NOW_MS, Quiet())
        assert found is not None
        assert found.name == other.name, "the newest, not the one whose upload was cut"


def test_on_the_same_disk_an_upload_that_was_cut_short_is_done_again(hosts: Hosts) -> None:
    class Cut(Quiet):
        def transferred(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    run = hosts.made("a")
    with pytest.raises(KeyboardInterrupt), hosts.runs("a") as runs:
        runs.begin(run, Cut())
    with hosts.runs("a") as runs:
        found = runs.unfinished(NOW_MS, Quiet())
        assert found is not None
        assert found.name == run.name
        runs.begin(found, Quiet())
    assert (hosts.store / run.name / RUN).exists()


@pytest.mark.parametrize("damage", ["missing", "changed", "cut", "no description", "another build", "outside", "wrong"])
def test_a_damaged_run_is_said_and_not_taken(hosts: Hosts, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    run = hosts.killed("a")
    stored = hosts.store / run.name
    vectors, described = stored / "files" / "vectors.npy", stored / RUN
    text, data = described.read_bytes(), vectors.read_bytes()
    if damage == "missing":
        vectors.unlink()
    elif damage == "changed":
        vectors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        vectors.write_bytes(data[:-1])
    elif damage == "no description":
        described.write_bytes(text[:-9])
    elif damage == "another build":
        described.write_bytes(text.replace(b'"features":["', b'"features":["x'))
    elif damage == "outside":
        described.write_bytes(text.replace(b'"vectors.npy"', b'"../vectors.npy"'))
        vectors.rename(stored / "vectors.npy")
    else:
        described.write_bytes(text.replace(b'"vectors.npy"', b'"vectors.np"'))
        vectors.rename(vectors.with_suffix(".np"))
        (stored / "files" / "plan.json").write_bytes(b"{}")
    with hosts.runs("b") as runs:
        assert runs.unfinished(NOW_MS, Quiet()) is None
        assert not (hosts.place / "b" / "run").exists()
        assert not list((hosts.place / "b").glob("*.part"))
        assert f"run {run.name} in {hosts.uri} cannot be gone on with" in caplog.text
        new = hosts.made("b", NOW_MS + 1)
        runs.begin(new, Quiet())
        runs.over()


def test_an_older_run_that_is_whole_takes_the_place_of_a_damaged_one(hosts: Hosts) -> None:
    run, other = hosts.made("a"), hosts.made("c", NOW_MS + 1)
    with hosts.runs("a") as first, hosts.runs("c") as second:
        first.begin(run, Quiet())
        second.begin(other, Quiet())
    (hosts.store / other.name / "files" / "plan.json").unlink()
    with hosts.runs("b") as runs:
        found = runs.unfinished(NOW_MS, Quiet())
        assert found is not None
        assert found.name == run.name


def test_what_else_lies_in_the_store_is_left_alone(hosts: Hosts) -> None:
    version = hosts.store / "m1800000000" / "manifest.json"
    version.parent.mkdir(parents=True)
    version.write_text("{}")
    run = hosts.killed("a")
    with hosts.runs("b") as runs:
        found = runs.unfinished(NOW_MS, Quiet())
        assert found is not None
        runs.begin(found, Quiet())
        runs.over()
    assert version.exists()
    assert run.name not in hosts.names()


def test_a_run_that_nobody_trains_any_more_goes_when_the_next_has_begun(hosts: Hosts) -> None:
    old = hosts.killed("a")
    with hosts.runs("b") as runs:
        new = hosts.made("b", NOW_MS + 1)
        threading.Event().wait(SILENT_S)
        runs.begin(new, Quiet())
        assert hosts.names() == {new.name}
    assert old.name != new.name


@pytest.mark.parametrize("checkpoints", [True, False], ids=["store", "folder"])
def test_a_run_is_gone_on_with_until_it_is_over_settled_or_old(hosts: Hosts, checkpoints: bool) -> None:
    def runs() -> Runs:
        return Runs(hosts.place / "a", hosts.uri if checkpoints else "", beat_s=BEAT_S, silent_s=SILENT_S)

    with runs() as one:
        one.begin(run := hosts.made("a"), Quiet())
        if not checkpoints:
            Path(one.storage, run.name).mkdir(parents=True)
    with runs() as one:
        assert one.unfinished(NOW_MS + MAX_AGE_MS + 1, Quiet()) is None
        assert one.unfinished(NOW_MS, Quiet(), lambda version: version == run.plan.origin.version) is None
        found = one.unfinished(NOW_MS + MAX_AGE_MS, Quiet(), lambda _: False)
        assert found is not None
        one.begin(found, Quiet())
        one.over()
    with runs() as one:
        assert one.unfinished(NOW_MS, Quiet()) is None
    assert not list(hosts.place.rglob(f"{run.name}/*")), "no checkpoint stays"


def test_a_new_run_in_the_folder_of_one_that_is_over_can_be_gone_on_with(hosts: Hosts) -> None:
    folder = hosts.place / "a"
    with Runs(folder, "") as runs:
        runs.begin(hosts.made("a"), Quiet())
        runs.over()
    hosts.made("a", NOW_MS + 1)
    with Runs(folder, "") as runs:
        assert runs.unfinished(NOW_MS, Quiet()) is not None


def test_a_store_that_is_down_is_said_at_the_start_and_does_not_undo_what_is_done(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_args: object, **_options: object) -> bool:
        raise ArchiveError("training.checkpoints s3://bucket: nobody answers")

    with hosts.runs("a") as runs:
        runs.begin(hosts.made("a"), Quiet())
        with monkeypatch.context() as patch:
            for name in ("list", "open", "put", "delete", "remove"):
                patch.setattr(FolderStore, name, fails)
            runs.over()
            with pytest.raises(ArchiveError, match="nobody answers"), hosts.runs("b"):
                pytest.fail("it began")
    assert "training.checkpoints s3://bucket: nobody answers" in caplog.text
    with hosts.runs("b") as runs:
        assert runs.unfinished(NOW_MS, Quiet(), lambda _: True) is None, "all of it is there, but its version is live"


def test_an_outage_while_it_learns_is_logged_once_and_costs_no_claim(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    missed = threading.Semaphore(0)

    def fails(*_args: object, **_options: object) -> bool:
        missed.release()
        raise ArchiveError("nobody answers")

    with hosts.runs("a") as runs:
        runs.begin(hosts.made("a"), Quiet())
        with monkeypatch.context() as patch:
            patch.setattr(FolderStore, "put", fails)
            for _ in range(3):
                assert missed.acquire(timeout=10)
        runs.require()
    assert caplog.text.count("no sign of life can be given") == 1


def test_a_disk_that_cannot_be_written_is_a_training_error(hosts: Hosts) -> None:
    hosts.killed("a")
    (hosts.place / "b").write_text("a file")
    with pytest.raises(TrainingError, match="cannot be written"), hosts.runs("b") as runs:
        runs.unfinished(NOW_MS, Quiet())


def test_the_description_of_a_run_is_written_last(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = FolderStore.put

    def noted(self: FolderStore, path: str, data: object, *, replace: bool = False) -> bool:
        if not path.endswith(HOLDER):
            written.append(path.partition("/")[2])
        return put(self, path, data, replace=replace)

    monkeypatch.setattr(FolderStore, "put", noted)
    run = hosts.made("a")
    with hosts.runs("a") as runs:
        runs.begin(run, Quiet())
    assert written == [*(f"files/{path}" for path in run.files), RUN]


def test_the_folder_needs_no_store(tmp_path: Path) -> None:
    with Runs(tmp_path, "") as runs:
        assert runs.storage == str(tmp_path / "checkpoints")
        assert runs.unfinished(NOW_MS, Quiet()) is None
        runs.require()
        runs.over()
