"""The command `tidecast train`: from recordings or the archive to a judged, published version. Never learns itself."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.command_line import Channels, FirstRows, SkipBad, UntilMs, settings_of
from deploy.terminal.console import as_json, say
from streaming.masked_uri import masked_uri
from training.settings import EncoderTraining

if TYPE_CHECKING:
    from deploy.config.settings import Settings
    from deploy.train.recorded_chat import RecordedChat
    from deploy.train.run import Trained
    from training.fit.runs import Runs
    from training.registry.registry import Registry

INTERRUPTED = 130
EPILOG = """\
What happens: visits become examples (what was known just before each: the viewer's past, all rooms live, and then which
was entered), texts become vectors (kept, so that a text is encoded once), Ray Train fits room tower, semantic codes,
viewer tower and ranker, the newest visits, which were not learned from, judge the version against the live one and
the baseline ranker ("v0"), and it is published as a candidate; with --live it goes live if it is not worse.

Without FILE it learns from the archive (archive.uri). A run that was killed goes on with --resume; on another host, or
on an empty disk, where training.checkpoints is a URI of a store.

  refresh (default where a version is live)   goes on from the live version with the last training.refresh_hours
  --rebuild                                   begins anew with the last training.history_hours

A running Trainer does not keep you from it. The lease by which one Trainer works at a time is not asked for: a Trainer
has it for as long as it runs, and you would wait for ever. Beside one, each version is judged against what is live at
that moment, and the one put live last answers. A folder (training.folder) is for one training at a time; a store of
checkpoints (training.checkpoints) takes several.

Curves for TensorBoard: training.folder/run/curves, of fine-tuning run/encoder/curves. `tidecast models show VERSION`
has the figures.

  --encoder frozen    the encoder's vectors are projected as they are (training.encoder, the default)
  --encoder adapter   two layers of the model's own adapt them to who watches what; no text is encoded again
  --encoder full      the encoder's last layers are fine-tuned first, on texts that belong together: of one room now and
                      minutes later, its title and chat, rooms that one viewer visited. It takes minutes on a processor
                      (training.pairs, encoder_layers, encoder_rate). The version begins anew on the new encoder, whose
                      files go into the registry with it; `tidecast models promote` has what runs change to both

examples:
  tidecast train                                  from the archive; a candidate in the registry
  tidecast train --live                           and live at once, if it is not worse; `tidecast rollback` undoes it
  tidecast train chat.parquet --out version       from a recording to a folder: needs no Kafka
  TIDECAST_TRAINING__WORKERS=4 tidecast train --rebuild
"""


@dataclasses.dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of a training: its source, and the destination of the version."""

    recorded: RecordedChat | None
    rebuild: bool
    resume: bool
    live: bool
    out: Path | None


def run(
    context: typer.Context,
    chat: Annotated[Path | None, typer.Argument(metavar="FILE", help="recorded chat instead of the archive")] = None,
    *,
    channels: Channels = None,
    until_ms: UntilMs = None,
    limit: FirstRows = None,
    skip_bad: SkipBad = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="begin anew instead of going on from the live version")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the run that was stopped, if there is one")
    ] = False,
    encoder: Annotated[
        EncoderTraining | None, typer.Option("--encoder", help="what is learned of the content (training.encoder)")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="put it live, if it is not worse than what is live")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="write the version there and publish nothing")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="the result as one JSON object")] = False,
) -> int:
    """Fits the models with Ray Train, judges them on visits not learned from, and publishes a version."""
    from deploy.train.fine_tuning import fine_tuned  # noqa: PLC0415
    from deploy.train.recorded_chat import RecordedChat  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415  the help needs none of this
    from training.fit.run import alone  # noqa: PLC0415
    from training.fit.runs import Runs  # noqa: PLC0415

    settings = settings_of(context)
    if encoder is not None:
        every_s = 0.0 if encoder == "full" else settings.training.every_s  # of a Trainer, which this is not
        training = dataclasses.replace(settings.training, encoder=encoder, every_s=every_s)
        settings = dataclasses.replace(settings, training=training)
    if live and settings.training.encoder == "full":
        raise ConfigError(
            "--live with --encoder full: no gate judges between versions that read different encoders; train without "
            "--live, then `tidecast models promote VERSION`: what runs changes to the new encoder by itself"
        )
    recorded = None if chat is None else RecordedChat(chat, channels, until_ms, limit, skip_bad)
    asked = TrainOptions(recorded, rebuild, resume, live, out)
    if out is not None and (out / "manifest.json").exists():
        raise ConfigError(f"--out {out}: there is a version already; give another folder")
    if chat is None and not settings.archive.uri:
        raise ConfigError("nothing to learn from: give a FILE of chat, or set archive.uri to an archive")
    config = settings.training.below(Path.cwd())
    folder = Path(config.folder)
    with alone(folder), Runs(folder, config.checkpoints) as runs, _registry(asked, settings) as registry:
        result = _train(asked, settings, registry, runs)
        runs.over()
    encoder_folder = fine_tuned(config, result.pop("encoder_version"))
    if encoder_folder is not None and config.encoder == "full":
        result["encoder"] = str(encoder_folder)
    say(as_json(result, indent=2) if json else report_of(result))
    return 0


def _train(asked: TrainOptions, settings: Settings, registry: Registry | None, runs: Runs) -> dict[str, Any]:
    from deploy.terminal.training_progress import TrainingBar  # noqa: PLC0415
    from deploy.train.recorded_chat import examples_of  # noqa: PLC0415
    from deploy.train.run import LaterEncoder, archived, connected_ray, parent_of, train  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415
    from training.content.text_encoder import TextEncoder  # noqa: PLC0415

    anew = asked.rebuild or settings.training.encoder == "full"  # another encoder is another space
    parent = None if anew or registry is None else parent_of(registry)
    replay = None if asked.recorded is None else asked.recorded.replay()
    source = archived(settings, rebuild=parent is None) if replay is None else examples_of(replay)
    ray = connected_ray(settings)
    with TrainingBar() as progress:
        progress.replay = replay

        def load() -> TextEncoder:
            progress.began("loading the encoder")
            return TextEncoder(settings.encoder)

        encoder = LaterEncoder(load)
        progress.began(f"making examples of {'the archive' if asked.recorded is None else asked.recorded.chat}")
        trained = train(
            settings,
            source,
            encoder,
            progress,
            SystemClock(),
            runs=runs,
            parent=parent,
            resume=asked.resume,
            is_settled=lambda version: registry is not None and registry.is_settled(version),
            ray=ray,
        )
        progress.began(
            "writing it" if registry is None else "judging and publishing it" if asked.live else "publishing it"
        )
        return _publish(asked, trained, registry, settings)


@contextlib.contextmanager
def _registry(asked: TrainOptions, settings: Settings) -> Iterator[Registry | None]:
    """The registry, opened before the work: better an error now than a version that cannot be published."""
    from deploy.terminal.model_registry import registry_of  # noqa: PLC0415

    if asked.out is not None:
        yield None
        return
    with registry_of(settings) as registry:
        registry.latest()
        yield registry


def _publish(asked: TrainOptions, trained: Trained, registry: Registry | None, settings: Settings) -> dict[str, Any]:
    from deploy.train.encoder_folder import folder_of_encoder  # noqa: PLC0415
    from streaming.archive.store import open_store  # noqa: PLC0415
    from training.registry import bundle as files  # noqa: PLC0415

    manifest = trained.bundle.manifest
    result = {"version": manifest.version, "parent": manifest.parent, "visits": trained.visits, **manifest.metrics}
    result["streamers"], result["encoder_version"] = trained.streamers, manifest.encoder_version
    if asked.out is not None:
        verdict = trained.gate.judge(trained.bundle, None)
        files.write(trained.bundle, open_store(str(asked.out.resolve()), "version"))
        return {**result, "path": str(asked.out), "state": "written", **_judged(verdict)}
    assert registry is not None  # it exists if there is no --out
    record = registry.publish(trained.bundle, folder_of_encoder(settings, manifest.encoder_version))
    path = masked_uri(record.path)
    if not asked.live:
        return {**result, "path": path, "state": "candidate"}
    verdict = registry.promote(manifest.version, trained.gate)
    return {**result, "path": path, "state": "live" if verdict.passed else "refused", **_judged(verdict)}


def _judged(verdict: Any) -> dict[str, Any]:
    plain = dataclasses.asdict(verdict)
    return {"passed": plain["passed"], "reason": plain["reason"], "judged": dict(plain["metrics"])}


def report_of(result: dict[str, Any]) -> str:
    """The result of a training as text, a line each for the version, its figures and its place."""
    lines = [
        f"version {result['version']}, from {result['visits']:,} visits to {result['streamers']:,} streamers"
        + (f", going on from {result['parent']}" if result["parent"] != "v0" else ""),
        f"calibration: error of the probabilities {result['ece']:.4f} (before {result['ece_before']:.4f})",
        *(
            f"{head} on visits not learned from: AUC {result[f'{head}_auc']:.3f}, error of the probabilities "
            f"{result[f'{head}_ece']:.4f}, share {result[f'{head}_share']:.3f}"
            for head in ("stay", "interact", "leave")
            if f"{head}_auc" in result
        ),
    ]
    if "reason" in result:
        lines.append(f"judged: {'passed' if result['passed'] else 'refused'}: {result['reason']}")
        lines += [f"  {name:<24} {value:+.4f}" for name, value in result["judged"].items()]
    state = {"written": "is in", "candidate": "is a candidate in", "live": "is live, from", "refused": "stays in"}
    lines.append(f"it {state[result['state']]} {result['path']}")
    if result["state"] == "candidate":
        lines.append(f"`tidecast models promote {result['version']}` puts it live")
    if "encoder" in result:
        lines.append(f"it reads the vectors of the encoder that was fine-tuned for it, in {result['encoder']}")
        lines.append(
            "that folder is for encoder.model, or for `tidecast models publish` on this machine"
            if result["state"] == "written"
            else "a copy lies in the registry: once the version is live, what runs changes to that encoder by itself"
        )
    return "\n".join(lines)
