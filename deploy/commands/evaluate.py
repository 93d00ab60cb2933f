"""The command `tidecast evaluate`: its options, its progress bar and its table. Never ranks or measures itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.command_line import SkipBad, one_of, settings_of
from deploy.terminal.console import complain, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deploy.config.settings import Settings
    from streaming.recorded.recording import Recording
    from training.evaluation.baselines import Ranker
    from training.evaluation.rankers import Ingredients
    from training.evaluation.recorded_examples import Beside
    from training.evaluation.report import Report
    from training.evaluation.tower_diagnostics import Towers
    from training.recorded.chat import Chat, Windows
    from training.registry.bundle import Bundle

EPILOG = """\
A visit is a viewer's message after being in another channel, or silent for half an hour. Live at a visit are the
channels with a message in the five minutes before it, and the one entered; all of them are ranked, and the one entered
should come first. Everything a ranker sees happened before the visit; the test's own past counts as past.

Examples of the visits, as for training, lie in a temporary folder meanwhile: about a kilobyte each.

  all      every visit of the test          repeat   the viewer has visited the channel before
  new      has visited other channels only  cold     the viewer's first visit ever

Each figure comes with its 95 % confidence interval: viewers are resampled, 1,000 times, with a fixed seed.

rankers:
  popularity            messages of the last seconds; how many seconds is chosen on the training part
  newcomers             visits of the last minute by viewers who were never anywhere
  memory                the viewer's own channels by frequency and recency, then popularity
  memory + transitions  the same, then where viewers go from the viewer's last channel
  version 0             the baseline ranker, a replica's score without a model, as far as examples hold what it is made
                        of; categories and languages by --channels, without which it knows habits and the crowd alone,
                        and content by --content
  version 0, sinking    by name alone: the same, with its own best 20 rooms at each visit taken as shown; those not
                        entered sink at the viewer's later visits, by recommend.shown_*, or 0.5 each time
  boosting              gradient-boosted trees over all features: the reference to beat; pip install 'tidecast[eval]'
  boosting + content    the same with how alike a room is to the viewer's last ones, by its chat and title (--content)
  boosting + shuffled   a placebo: the same with the content of the rooms live dealt to one another anew
  boosting + towers     by name alone: trees in place of the model's ranker; they read what it reads in a replica,
                        towers and codes too, of tidecast or, as "boosting + NAME", of each --version; they learn from
                        the visits that the towers did not learn from
  tidecast              what replicas serve once a version is live: towers, semantic codes and ranker learn from the
                        training part, and rank in numpy with what they knew when it ended
  tidecast, id only     ablations, by name alone: the room is its streamer's embedding;
  tidecast, content only  the room is its content, brought into the model's space;
  tidecast, no codes      both, gated, without semantic codes;
  tidecast, shuffled      a placebo: content dealt to other rooms;
  tidecast, adapter       two layers of its own adapt content first, as `tidecast train --encoder adapter` has it; also
                        "tidecast, adapter, content only" and, as a placebo, "tidecast, adapter, shuffled"

All rankers are measured on the same draws, and so are their differences to the one that --against names.

--cold-streamers .2 takes a fifth of the streamers, by a hash of their names, out of the training part: what was said
there teaches nothing, and viewers do not have it in their past. Their visits in the test are reported apart, and so are
those of their rooms' first ten minutes: since the first message after half an hour of silence, or since the recording
began.

--content encodes each 30 s of a room's chat once, about 200 texts a second and core, and keeps the vectors in the
folder; an encoding that was killed goes on where it stopped. A room is about what was said in the last segment that
had closed before the visit.

The table ends with what ranking one visit takes, on one thread: from the features to the scores, and what of it a
replica does in a request; it knows the rooms' and the viewer's vectors before.

Of the models it also says λ, how far content counts against the streamer's embedding, by how often streamers were
visited in the training part, and the Recall@10 of the towers alone, by the first 16, 32 and 64 dimensions of vectors.

--rankings writes a row a visit: at, viewer, entered, ranked (up to 20 channels, best first), live (how many).

examples:
  tidecast evaluate --train monday.parquet --test tuesday.parquet
  tidecast evaluate --train chat.parquet --train-windows 0:40 --test chat.parquet --test-windows 40:50
  tidecast evaluate --train a.parquet b.parquet --test c.parquet --rankers popularity memory --json report.json
  tidecast evaluate --train a.parquet --test b.parquet --rankers memory --version 2026-01-31-120000
  tidecast evaluate --train a.parquet --test b.parquet --cold-streamers .2 --content vectors --channels channels.csv
"""
RANKERS = (
    "popularity",
    "newcomers",
    "memory",
    "memory + transitions",
    "version 0",
    "boosting",
    "boosting + content",
    "boosting + shuffled",
    "boosting + towers",
    "tidecast",
)
SINKING = "version 0, sinking"
ABLATIONS = (
    "tidecast, id only",
    "tidecast, content only",
    "tidecast, no codes",
    "tidecast, shuffled",
    "tidecast, adapter",
    "tidecast, adapter, content only",
    "tidecast, adapter, shuffled",
)
REFERENCE = "boosting"


@dataclasses.dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """The options of an evaluation: its recordings, its rankers, and the outputs of its figures."""

    train: list[Path]
    test: list[Path]
    train_windows: range | None
    test_windows: range | None
    skip_bad: bool
    rankers: list[str]
    version: list[str]
    against: str | None
    cold_streamers: float | None
    content: Path | None
    channels: Path | None
    learn_from: int
    trees: int
    seed: int
    json: Path | None
    rankings: Path | None
    rankings_of: str | None


def _windows(text: str) -> range:
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise ValueError(f"{text!r} is not A:B with A below B, such as 0:40 for windows 0 to 39")
    return range(int(first), int(end))


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ValueError(f"{text} is not a share between 0 and 1, such as 0.2")
    return share


def run(
    context: typer.Context,
    *,
    train: Annotated[list[Path], typer.Option(metavar="FILE...", help="recorded chat: the past")],
    test: Annotated[list[Path], typer.Option(metavar="FILE...", help="recorded chat after it")],
    train_windows: Annotated[
        range | None, typer.Option(parser=_windows, metavar="A:B", help="only rows with A <= window < B")
    ] = None,
    test_windows: Annotated[
        range | None, typer.Option(parser=_windows, metavar="C:D", help="only rows with C <= window < D")
    ] = None,
    skip_bad: SkipBad = False,
    rankers: Annotated[
        list[str] | None,
        typer.Option(
            parser=one_of((*RANKERS, SINKING, *ABLATIONS)),
            autocompletion=lambda: [*RANKERS, SINKING, *ABLATIONS],
            metavar="RANKER...",
            help="default: all that can be had, without ablations and boosting + towers",
        ),
    ] = None,
    version: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="a trained version too: its name in the registry (`tidecast models ls`), or its folder; repeatable",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="RANKER", help=f"what the others are compared with; default: {REFERENCE}, if it is there"),
    ] = None,
    cold_streamers: Annotated[
        float | None,
        typer.Option(parser=_share, metavar="SHARE", help="hold so many of the streamers out of the training part"),
    ] = None,
    content: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="what rooms are about; keeps the vectors there")
    ] = None,
    channels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="titles: CSV with channel,title,category,language")
    ] = None,
    learn_from: Annotated[int, typer.Option(min=1, metavar="N", help="visits")] = 100_000,
    trees: Annotated[int, typer.Option(min=1, metavar="N", help="of boosting")] = 300,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="of samples and resamples")] = 7,
    json_: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="write all figures to this file")] = None,
    rankings: Annotated[
        Path | None, typer.Option(metavar="OUT.parquet", help="write a ranker's rankings to this file")
    ] = None,
    rankings_of: Annotated[
        str | None,
        typer.Option(metavar="RANKER", help="whose; default: the version given last, else tidecast, else the last one"),
    ] = None,
) -> int:
    """Replays recorded chat causally and ranks all live rooms at each visit of the test."""
    return evaluate_recordings(
        EvaluateOptions(
            train=train,
            test=test,
            train_windows=train_windows,
            test_windows=test_windows,
            skip_bad=skip_bad,
            rankers=rankers or [],
            version=version or [],
            against=against,
            cold_streamers=cold_streamers,
            content=content,
            channels=channels,
            learn_from=learn_from,
            trees=trees,
            seed=seed,
            json=json_,
            rankings=rankings,
            rankings_of=rankings_of,
        ),
        settings_of(context),
    )


def evaluate_recordings(asked: EvaluateOptions, settings: Settings) -> int:
    """Ranks and measures, then prints and writes the figures."""
    from deploy.local.stopping import interrupt_on_sigterm  # noqa: PLC0415
    from deploy.terminal.evaluation_table import table, towers_table  # noqa: PLC0415
    from deploy.terminal.progress_bars import EvaluateProgress  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415
    from training.evaluation.evaluate import EvaluateConfig, evaluate  # noqa: PLC0415
    from training.evaluation.rankers import build, names_of  # noqa: PLC0415  the help needs none of this
    from training.evaluation.rankings_file import RankingsFile  # noqa: PLC0415
    from training.recorded.chat import load  # noqa: PLC0415

    names = chosen_names(asked)
    rankings_of, against = _check(asked, names_of(names, asked.version))
    versions = versions_of(asked.version, settings)
    files = open_files(asked)
    chat, cold_C, kept_M = held_out(load(files.train, files.test, *windows_of(asked)), asked.cold_streamers)
    beside = beside_of(asked, settings, files, kept_M)
    rankers = build(names, versions, ingredients_of(asked, settings, chat, beside))
    with ExitStack() as stack:
        stack.enter_context(interrupt_on_sigterm())  # the temporary folder goes with it
        sinks = {rankings_of: stack.enter_context(RankingsFile(asked.rankings, chat))} if asked.rankings else None
        progress = stack.enter_context(EvaluateProgress())
        config = EvaluateConfig(asked.seed, asked.learn_from, against)
        report = evaluate(chat, rankers, config, progress, beside=beside, sinks=sinks, cold_C=cold_C)
    say(table(report))
    if towers := towers_of(rankers):
        say(towers_table(towers))
    if asked.json:
        try:
            asked.json.write_text(json.dumps(as_json(report, rankers, asked), indent=2) + "\n")
        except OSError as err:
            raise ConfigError(f"--json {asked.json}: cannot be written: {err}") from err
    return 0


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """The opened recordings of a command line; a file given for both parts is opened once."""

    train: list[Recording]
    test: list[Recording]


def open_files(asked: EvaluateOptions) -> Files:
    """Opens the recordings; with --skip-bad, bad rows are left out. Raises InputFileError."""
    from deploy.terminal.recording_check import check_recording  # noqa: PLC0415
    from streaming.recorded.recording import Recording  # noqa: PLC0415

    opened = {path: Recording.open(path, "chat") for path in (*asked.train, *asked.test)}
    if asked.skip_bad:
        for file in opened.values():
            check_recording(file, None, skip_bad=True)
    return Files([opened[path] for path in asked.train], [opened[path] for path in asked.test])


def windows_of(asked: EvaluateOptions) -> tuple[Windows | None, Windows | None]:
    """The recorded windows to learn from and those to test on; None: all."""
    from training.recorded.chat import Windows  # noqa: PLC0415

    train, test = (
        None if chosen is None else Windows(chosen.start, chosen.stop)
        for chosen in (asked.train_windows, asked.test_windows)
    )
    return train, test


def versions_of(places: Sequence[str], settings: Settings) -> dict[str, Bundle]:
    """Trained versions by the words given for them. Raises ConfigError."""
    from deploy.terminal.model_registry import version_at  # noqa: PLC0415
    from streaming.errors import ConfigError, VersionError  # noqa: PLC0415

    versions = {}
    for place in places:
        try:
            versions[place] = version_at(place, settings)
        except VersionError as err:
            raise ConfigError(f"--version {place}: {err}") from err
    return versions


def held_out(chat: Chat, share: float | None) -> tuple[Chat, NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """The chat without the past of held-out streamers; these, bool [C], and the messages left, bool [M], if any are."""
    from training.evaluation.cold_start import cold_streamers, kept, kept_without  # noqa: PLC0415

    if not share:
        return chat, None, None
    cold_C = cold_streamers(chat.channels, share)
    kept_M = kept_without(chat, cold_C)
    return kept(chat, kept_M), cold_C, kept_M


def ingredients_of(asked: EvaluateOptions, settings: Settings, chat: Chat, beside: Beside) -> Ingredients:
    """The inputs that rankers are built from."""
    from training.boosting.ranker import BoostingConfig  # noqa: PLC0415
    from training.evaluation.baselines import Popularity  # noqa: PLC0415
    from training.evaluation.logged_baseline import Sinking  # noqa: PLC0415
    from training.evaluation.rankers import Ingredients  # noqa: PLC0415

    recommend = settings.recommend
    return Ingredients(
        chat=chat,
        boosting=BoostingConfig(asked.trees, seed=asked.seed),
        baseline=settings.recommend.baseline,
        d_content=None if beside.content is None else beside.content.encoder.dimension,
        popularity=Popularity(),
        sinking=Sinking(recommend.shown_cost, recommend.shown_half_life_s, recommend.shown_most_cost)
        if recommend.shown_cost
        else Sinking(),
    )


def chosen_names(asked: EvaluateOptions) -> list[str]:
    """The rankers asked for, else all available. Raises ConfigError: boosting was named, and lightgbm is missing."""
    from streaming.errors import ConfigError  # noqa: PLC0415
    from training.boosting.ranker import Boosting  # noqa: PLC0415
    from training.evaluation.rankers import BOOSTED, WITH_CONTENT, WITH_TOWERS  # noqa: PLC0415

    left_out = (WITH_TOWERS,) if asked.content else (WITH_TOWERS, *WITH_CONTENT)
    names = asked.rankers or [name for name in RANKERS if name not in left_out]
    if not Boosting.available() and any(name in BOOSTED for name in names):
        if asked.rankers:
            raise ConfigError("boosting needs lightgbm: pip install 'tidecast[eval]', or leave it out of --rankers")
        complain("tidecast: without boosting, the reference: pip install 'tidecast[eval]'")
        names = [name for name in names if name not in BOOSTED]
    return list(names)


def beside_of(asked: EvaluateOptions, settings: Settings, files: Files, kept_M: NDArray[np.bool_] | None) -> Beside:
    """What is known beside the chat. kept_M: the messages that are left of it; None: all."""
    import pyarrow as pa  # noqa: PLC0415

    from streaming.recorded.replay import read_channels  # noqa: PLC0415
    from training.content.text_encoder import LazyTextEncoder  # noqa: PLC0415
    from training.evaluation.recorded_examples import Beside, ContentSource  # noqa: PLC0415
    from training.recorded.chat import load_texts  # noqa: PLC0415

    known = read_channels(asked.channels) if asked.channels else {}
    content = None
    if asked.content:
        text_M = load_texts(files.train, files.test, *windows_of(asked))
        text_M = text_M if kept_M is None else text_M.filter(pa.array(kept_M))
        encoder = LazyTextEncoder(dataclasses.replace(settings.encoder, cached_texts=1))  # no text repeats
        content = ContentSource(text_M, encoder, asked.content)
    return Beside(known, settings.window, settings.tables.title_weight, content)


def towers_of(rankers: Sequence[Ranker]) -> dict[str, Towers]:
    """The diagnostics of the towers of rankers that have any, by ranker."""
    from training.evaluation.trained_model import Learned  # noqa: PLC0415

    return {ranker.name: ranker.towers() for ranker in rankers if isinstance(ranker, Learned)}


def as_json(report: Report, rankers: Sequence[Ranker], asked: EvaluateOptions) -> dict[str, Any]:
    """The report for scripts, with its inputs and what the rankers learned."""
    from training.boosting.ranker import Boosting  # noqa: PLC0415
    from training.evaluation.baselines import MemoryAndMoves, Popularity  # noqa: PLC0415

    learned: dict[str, Any] = {}
    for ranker in rankers:
        if isinstance(ranker, Popularity):
            learned[ranker.name] = ranker.column
        elif isinstance(ranker, MemoryAndMoves):
            learned[ranker.name] = {"column": ranker.column, "prior": ranker.prior}
        elif isinstance(ranker, Boosting):
            learned[ranker.name] = ranker.importance()
    split = {name: [str(path) for path in getattr(asked, name)] for name in ("train", "test")}
    windows = {
        name: {"first": chosen.start, "end": chosen.stop} if (chosen := getattr(asked, name)) else None
        for name in ("train_windows", "test_windows")
    }
    return {
        "split": {**split, **windows, "cold_streamers": asked.cold_streamers},
        "content": str(asked.content) if asked.content else None,
        "channels": str(asked.channels) if asked.channels else None,
        "seed": asked.seed,
        "learned": learned,
        "towers": {name: dataclasses.asdict(towers) for name, towers in towers_of(rankers).items()},
        **dataclasses.asdict(report),
    }


def _check(asked: EvaluateOptions, names: Sequence[str]) -> tuple[str, str]:
    """Checks the outputs before the work, not after it. Returns the ranker to keep rankings of, and the reference."""
    from streaming.errors import ConfigError  # noqa: PLC0415
    from training.evaluation.learned_rankers import MODEL  # noqa: PLC0415

    for option, path in (("--json", asked.json), ("--rankings", asked.rankings)):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{option} {path}: no folder {path.parent}; create it first")
        if path is not None and path.is_dir():
            raise ConfigError(f"{option} {path}: a folder; name a file")
    for option, name in (("--rankings-of", asked.rankings_of), ("--against", asked.against)):
        if name and name not in names:
            raise ConfigError(f"{option} {name}: not among the rankers evaluated, {', '.join(names)}")
    default = asked.version[-1] if asked.version else MODEL if MODEL in names else names[-1]
    return asked.rankings_of or default, asked.against or REFERENCE
