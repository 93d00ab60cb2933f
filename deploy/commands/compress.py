"""The command `tidecast compress`: a smaller language model from a larger one, on live text. Never learns itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands.command_line import Channels, FirstRows, SkipBad, UntilMs, settings_of
from deploy.terminal.console import as_json, say

if TYPE_CHECKING:
    from deploy.train.compression import WrittenModel

EPILOG = """\
What happens (distil, prune, distil again): layers without which the vectors change least are taken out, what is left
learns the whole model's vectors of your rooms' texts and the order of each text's neighbours; then the feed-forward
units that do least are taken out, and it learns once more. Words' embeddings stay as they are.

  --point small   two thirds of the layers, three quarters of the units: of MiniLM's parameters a fifth less
  --point fast    a third of the layers, half of the units: of MiniLM's time in layers a quarter

--layers and --feed-forward say it exactly. --dimensions keeps the first N dimensions of a vector, which then learn to
do without the others. The texts are those that `tidecast train` would learn from (training.share of the visits), chat
and titles. Without FILE they come from the archive (archive.uri), of the last training.history_hours.

Said for each stage: the mean cosine to the whole model's vectors, and the share of a text's 10 nearest that are the
same for both, on 512 texts that are not learned from. The result is a Hugging Face folder for encoder.model, with
vectors of its own: rooms are encoded anew, and versions have to be trained again. Same texts, same options, same result
on one processor. A run that was stopped leaves nothing, and begins anew; only the whole model's vectors of the texts
are kept (training.folder/vectors).

examples:
  tidecast compress minilm chat.parquet --out fast --point fast
  tidecast compress .tidecast/training/encoders/NAME chat.parquet --out small     one that was fine-tuned
  tidecast compress minilm --out four --layers 4 --feed-forward 1152              texts from the archive
  tidecast compress minilm chat.parquet --out short --layers 6 --feed-forward 1536 --dimensions 128
  TIDECAST_ENCODER__MODEL=fast tidecast up                                        reads rooms with it
"""


def run(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a short name or a Hugging Face folder")],
    chat: Annotated[Path | None, typer.Argument(metavar="FILE", help="recorded chat instead of the archive")] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="where the smaller model is written; not there yet")],
    point: Annotated[Literal["small", "fast"], typer.Option(help="how small (small)", show_default=False)] = "small",
    layers: Annotated[int | None, typer.Option(metavar="N", min=1, help="layers that are kept")] = None,
    units: Annotated[
        int | None, typer.Option("--feed-forward", metavar="N", min=1, help="feed-forward units of each layer kept")
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="a vector's first N dimensions are kept")
    ] = None,
    texts: Annotated[int, typer.Option(metavar="N", min=1, help="distinct texts used at most")] = 20_000,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="passes over them, each of the two times")] = 2,
    rate: Annotated[float, typer.Option(metavar="R", help="of learning")] = 2e-4,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="of the choice of texts and their order")] = 7,
    channels: Channels = None,
    until_ms: UntilMs = None,
    limit: FirstRows = None,
    skip_bad: SkipBad = False,
    json: Annotated[bool, typer.Option("--json", help="the result as one JSON object")] = False,
) -> int:
    """Makes a smaller, faster language model of one that reads rooms."""
    from streaming.errors import ConfigError  # noqa: PLC0415  the help needs none of this

    settings = settings_of(context)
    if out.exists():
        raise ConfigError(f"--out {out}: is there already; give another folder")
    if chat is None and not settings.archive.uri:
        raise ConfigError("nothing to learn from: give a FILE of chat, or set archive.uri to an archive")
    from deploy.terminal.training_progress import TrainingBar  # noqa: PLC0415
    from deploy.train.compression import CompressionPlan, compress_encoder  # noqa: PLC0415  torch
    from deploy.train.recorded_chat import RecordedChat, examples_of  # noqa: PLC0415
    from deploy.train.run import archived  # noqa: PLC0415
    from training.compression.distiller import DistillConfig  # noqa: PLC0415

    distill = DistillConfig(epochs=epochs, rate=rate, seed=seed)
    plan = CompressionPlan(model, out, point, layers, units, dimensions, texts, distill)
    replay = None if chat is None else RecordedChat(chat, channels, until_ms, limit, skip_bad).replay()
    source = archived(settings, rebuild=True) if replay is None else examples_of(replay)
    with TrainingBar() as progress:
        progress.replay = replay
        written = compress_encoder(settings, plan, source, progress)
    result = _result(written)
    say(as_json(result, indent=2) if json else report_of(result))
    return 0


def _result(written: WrittenModel) -> dict[str, Any]:
    compressed = dataclasses.asdict(written.compressed)
    return {
        "folder": str(written.folder),
        "name": written.name,
        "texts": written.texts,
        "dimension": written.dimension,
        **compressed,
        "saved": 1 - compressed["parameters"] / compressed["parameters_before"],
    }


def report_of(result: dict[str, Any]) -> str:
    """The result of a compression as text: a line for each stage, the size, and its folder."""
    kept = ", ".join(str(layer + 1) for layer in result["layers"])
    return "\n".join(
        [
            *(
                f"{stage['stage']:<18} {stage['parameters'] / 1e6:6.1f} M parameters, cosine {stage['cosine']:.3f}, "
                f"of the 10 nearest {stage['overlap']:.0%} the same"
                for stage in result["stages"]
            ),
            f"kept: layers {kept}, {result['units']:,} feed-forward units in each, {result['dimension']} dimensions; "
            f"{result['saved']:.1%} fewer parameters",
            f"it is in {result['folder']}: set encoder.model to it (the same files on every host)",
        ]
    )
