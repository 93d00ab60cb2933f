"""Owns `tidecast train`: from recordings or the archive to a version, judged and published. Never learns itself."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.commands.parser import time_ms
from deploy.terminal.console import as_json, say
from streaming.shown import shown_uri

if TYPE_CHECKING:
    from deploy.config.settings import Settings
    from deploy.train.run import Trained, WriteExamples
    from streaming.replay import Replay
    from training.registry.registry import Registry

INTERRUPTED = 130
EPILOG = """\
What happens: visits become examples (what was known just before each: the viewer's past, all rooms live, and then which
was entered), texts become vectors (kept, so that a text is encoded once), Ray Train fits room tower, semantic codes,
viewer tower and ranker, the newest visits, which were not learned from, judge the version against the live one and
version 0, and it is published as a candidate; with --live it goes live if it is not worse.

Without FILE it learns from the archive (archive.uri). A run that was killed goes on with --resume.

  refresh (default where a version is live)   goes on from the live version with the last training.refresh_hours
  --rebuild                                   begins anew with the last training.history_hours

Curves for TensorBoard: training.folder/run/curves. `tidecast models show VERSION` has the figures.

examples:
  tidecast train                                  from the archive; a candidate in the registry
  tidecast train --live                           and live at once, if it is not worse; `tidecast rollback` undoes it
  tidecast train chat.parquet --out version       from a recording to a folder: needs no Kafka
  TIDECAST_TRAINING__WORKERS=4 tidecast train --rebuild
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "train",
        help="learn a version of the models from the archive or a recording, judge it, publish it",
        description="Fits the models with Ray Train, judges them on visits not learned from, and publishes a version.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("chat", nargs="?", type=Path, metavar="FILE", help="recorded chat instead of the archive")
    parser.add_argument("--channels", type=Path, metavar="FILE", help="CSV with channel,title,category,language")
    parser.add_argument("--until", type=time_ms, dest="until_ms", metavar="TIME", help="only before this recorded time")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N rows of the recording")
    parser.add_argument("--skip-bad", action="store_true", help="leave out rows that cannot be taken, and count them")
    parser.add_argument("--rebuild", action="store_true", help="begin anew instead of going on from the live version")
    parser.add_argument("--resume", action="store_true", help="go on with the run that was stopped, if there is one")
    parser.add_argument("--live", action="store_true", help="put it live, if it is not worse than what is live")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the version there and publish nothing")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this
    from streaming.errors import ConfigError  # noqa: PLC0415
    from training.fit.run import alone  # noqa: PLC0415

    settings = from_args(args)
    if args.out is not None and (args.out / "manifest.json").exists():
        raise ConfigError(f"--out {args.out}: there is a version already; give another folder")
    if args.chat is None and not settings.archive.uri:
        raise ConfigError("nothing to learn from: give a FILE of chat, or set archive.uri to an archive")
    folder = Path(settings.training.below(Path.cwd()).folder)
    with alone(folder), _registry(args, settings) as registry:
        return _train(args, settings, registry)


def _train(args: argparse.Namespace, settings: Settings, registry: Registry | None) -> int:
    from deploy.terminal.training_progress import TrainingProgress  # noqa: PLC0415
    from deploy.train.run import LaterEncoder, archived, connected_ray, parent_of, train  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415
    from training.content.text_encoder import TextEncoder  # noqa: PLC0415

    parent = None if args.rebuild or registry is None else parent_of(registry)
    replay = _replay(args) if args.chat is not None else None
    source = archived(settings, rebuild=parent is None) if replay is None else _recorded(replay)
    ray = connected_ray(settings)
    with TrainingProgress() as progress:
        progress.replay = replay

        def load() -> TextEncoder:
            progress.began("loading the encoder")
            return TextEncoder(settings.encoder)

        encoder = LaterEncoder(load)
        progress.began(f"making examples of {'the archive' if args.chat is None else args.chat}")
        trained = train(settings, source, encoder, progress, SystemClock(), parent=parent, resume=args.resume, ray=ray)
        progress.began(
            "writing it" if registry is None else "judging and publishing it" if args.live else "publishing it"
        )
        result = _publish(args, trained, registry)
    say(as_json(result, indent=2) if args.json else _said(result))
    return 0


@contextlib.contextmanager
def _registry(args: argparse.Namespace, settings: Settings) -> Iterator[Registry | None]:
    """Opened before the work: rather a word now than a version that cannot be published."""
    from deploy.terminal.model_registry import registry_of  # noqa: PLC0415

    if args.out is not None:
        yield None
        return
    with registry_of(settings) as registry:
        registry.latest()
        yield registry


def _replay(args: argparse.Namespace) -> Replay:
    """The recording, checked."""
    from deploy.terminal.recording_check import check_recording  # noqa: PLC0415
    from streaming.recorded_rooms import Selection  # noqa: PLC0415
    from streaming.recording import Recording  # noqa: PLC0415
    from streaming.replay import Replay, read_channels  # noqa: PLC0415

    chat = Recording.open(args.chat, "chat")
    check_recording(chat, None, skip_bad=args.skip_bad)  # rather a word now than after texts were encoded
    return Replay(
        chat,
        channels=read_channels(args.channels) if args.channels else None,
        selection=Selection(None, None, args.until_ms, args.limit),
    )


def _recorded(replay: Replay) -> WriteExamples:
    from training.examples.writer import write_recorded  # noqa: PLC0415

    return lambda folder, config, progress: write_recorded(replay, folder, config, progress)


def _publish(args: argparse.Namespace, trained: Trained, registry: Registry | None) -> dict[str, Any]:
    from streaming.archive.store import open_store  # noqa: PLC0415
    from training.registry import bundle as files  # noqa: PLC0415

    manifest = trained.bundle.manifest
    result = {"version": manifest.version, "parent": manifest.parent, "visits": trained.visits, **manifest.metrics}
    result["streamers"] = trained.streamers
    if registry is None:
        verdict = trained.gate.judge(trained.bundle, None)
        files.write(trained.bundle, open_store(str(args.out.resolve()), "version"))
        return {**result, "path": str(args.out), "state": "written", **_judged(verdict)}
    record = registry.publish(trained.bundle)
    path = shown_uri(record.path)
    if not args.live:
        return {**result, "path": path, "state": "candidate"}
    verdict = registry.promote(manifest.version, trained.gate)
    return {**result, "path": path, "state": "live" if verdict.passed else "refused", **_judged(verdict)}


def _judged(verdict: Any) -> dict[str, Any]:
    plain = dataclasses.asdict(verdict)
    return {"passed": plain["passed"], "reason": plain["reason"], "judged": dict(plain["metrics"])}


def _said(result: dict[str, Any]) -> str:
    """For a person."""
    lines = [
        f"version {result['version']}, from {result['visits']:,} visits to {result['streamers']:,} streamers"
        + (f", going on from {result['parent']}" if result["parent"] != "v0" else ""),
        f"calibration: error of the probabilities {result['ece']:.4f} (before {result['ece_before']:.4f})",
    ]
    if "reason" in result:
        lines.append(f"judged: {'passed' if result['passed'] else 'refused'}: {result['reason']}")
        lines += [f"  {name:<24} {value:+.4f}" for name, value in result["judged"].items()]
    state = {"written": "is in", "candidate": "is a candidate in", "live": "is live, from", "refused": "stays in"}
    lines.append(f"it {state[result['state']]} {result['path']}")
    if result["state"] == "candidate":
        lines.append(f"`tidecast models promote {result['version']}` puts it live")
    return "\n".join(lines)
