"""`minilm` in int8 against fp32 and bf16: how fast, how like, and whether a text's bytes depend on its batch.

    python -m tests.bench.int8_encoder [--chat FILE] [--rounds N] [--json]

Kinds: torch's own dynamic quantisation, and where onnx, onnxscript and onnxruntime are installed (they are no
dependencies) that runtime's with scales by batch, by block of a row (MatMulNBits in 8 bits) and fixed by 128 texts.
Figures as in `tests.bench.encoder`; cosine is to fp32's vector of the same text, the least and the mean. Of 16 texts
`unsteady` have other bytes alone than among 64.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.bench.encoder import Measured, encoder_of, line_of, rates, texts_of
from training.content.language_model import folder_of
from training.content.text_encoder import TextEncoder

ONNX = ("onnx", "onnxscript", "onnxruntime")
FIXED_BY = 128  # texts


class Exported(torch.nn.Module):
    """The states of the tokens alone, which ONNX can name."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel  # noqa: PLC0415

        self.model = AutoModel.from_pretrained(str(folder_of("minilm")), attn_implementation="eager").float().eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Session:
    """An ONNX file on one thread, called as a Hugging Face model is."""

    def __init__(self, path: Path, config: Any) -> None:
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.config = config

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        given = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return SimpleNamespace(last_hidden_state=torch.from_numpy(self._session.run(None, given)[0]))


def export(path: Path) -> None:
    """Writes the model in fp32, for any number of texts and tokens."""
    ids = torch.ones((4, 32), dtype=torch.long)
    sizes = {0: torch.export.Dim("texts", min=1, max=256), 1: torch.export.Dim("tokens", min=8, max=512)}
    torch.onnx.export(
        Exported(),
        (ids, torch.ones_like(ids)),
        str(path),
        dynamo=True,
        external_data=False,
        input_names=["input_ids", "attention_mask"],
        output_names=["states"],
        dynamic_shapes=(sizes, sizes),
    )


def by_batch(exact: Path, made: Path, _batches: Iterator[Any]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    quantize_dynamic(exact, made, weight_type=QuantType.QInt8, per_channel=True)


def by_block(exact: Path, made: Path, _batches: Iterator[Any]) -> None:
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer  # noqa: PLC0415

    config = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4, bits=8)
    quantizer = MatMulNBitsQuantizer(onnx.load(exact), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(made))


def fixed(exact: Path, made: Path, batches: Iterator[Any]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static  # noqa: PLC0415

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:
            return next(batches, None)

    types = {"weight_type": QuantType.QInt8, "activation_type": QuantType.QUInt8}
    quantize_static(exact, made, Reader(), per_channel=True, op_types_to_quantize=["MatMul", "Gemm"], **types)


KINDS: dict[str, Callable[[Path, Path, Iterator[Any]], None]] = {"batch": by_batch, "block": by_block, "fixed": fixed}


def encoders(texts: Sequence[str], folder: Path) -> Iterator[tuple[str, TextEncoder]]:
    """The kinds by name. The encoders of int8 are of fp32's class and have other models in them."""
    yield "bf16", encoder_of("minilm", "bf16")
    encoder = encoder_of("minilm", "fp32")
    encoder._model = torch.ao.quantization.quantize_dynamic(encoder._model, {torch.nn.Linear}, dtype=torch.qint8)
    yield "int8, torch, by batch", encoder
    if missing := [name for name in ONNX if importlib.util.find_spec(name) is None]:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return
    export(folder / "exact.onnx")
    tokenize = encoder._tokenizer
    for name, make in {"fp32": None, **KINDS}.items():
        made = folder / (f"{name}.onnx" if make else "exact.onnx")
        batches = (
            dict(tokenize(texts[at : at + 16], truncation=True, max_length=63, padding=True, return_tensors="np"))
            for at in range(0, FIXED_BY, 16)
        )
        if make:
            make(
                folder / "exact.onnx",
                made,
                ({k: v for k, v in one.items() if k != "token_type_ids"} for one in batches),
            )
        encoder = encoder_of("minilm", "fp32")
        encoder._model = Session(made, encoder._model.config)
        yield f"int8, onnxruntime, {name}" if make else "fp32, onnxruntime", encoder


def unsteady(encoder: TextEncoder, texts: Sequence[str]) -> int:
    """How many of 16 texts have other bytes alone than among 64."""
    together_ND = encoder.encode(texts[:64])
    return sum(encoder.encode([texts[at]])[0].tobytes() != together_ND[at].tobytes() for at in range(0, 64, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chat", type=Path, help="a recording of chat, as `tidecast replay` takes it")
    parser.add_argument("--rounds", type=int, default=7, help="batches a figure (7)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # torch announces that its quantisation will go
    texts = texts_of(args.chat)
    reference = Measured(encoder_of("minilm", "fp32"), texts)
    exact_TD = reference.vectors_TD.astype(np.float32)
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for name, encoder in encoders(texts, Path(folder)):
            encoder._cache.clear()
            measured = Measured(encoder, texts)
            cosine_T = (measured.vectors_TD.astype(np.float32) * exact_TD).sum(axis=1)
            found = {"version": name, **rates(measured, reference, args.rounds), "unsteady": unsteady(encoder, texts)}
            found["cosine"] = [round(float(cosine_T.min()), 4), round(float(cosine_T.mean()), 4)]
            figures.append(found)
            if not args.json:
                print(f"{line_of(found)}   cosine {found['cosine']}   unsteady {found['unsteady']}", flush=True)
    if args.json:
        print(json.dumps({"encoders": figures}))


if __name__ == "__main__":
    main()
