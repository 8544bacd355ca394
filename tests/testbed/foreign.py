"""Small random models as others make them: by transformers, with byte-level BPE tokenizers of each family.

The weights are scaled as in `exported.py`, so that quantisation changes little.
"""

import functools
import json
from itertools import chain
from pathlib import Path
from typing import Any

from edgelm.tokenizer.texts import sample_texts

LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SAID = "You are a small model."
CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and message.role != 'system' and DEFAULT %}"
    "{{ '<|im_start|>system\\n" + SAID + "<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
IM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
HEADER = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt-2": {"special": ["<|endoftext|>"], "eos": "<|endoftext|>", "template": None},
    "smollm": {"special": IM, "eos": "<|im_end|>", "template": CHATML.replace("DEFAULT", "true")},
    "qwen2": {
        "special": IM,
        "plain": ["<think>", "</think>", "<|xyz|>"],
        "eos": "<|im_end|>",
        "template": CHATML.replace("and DEFAULT", "and false").replace(SAID, ""),
    },
    "llama-bpe": {
        "special": ["<|begin_of_text|>", "<|end_of_text|>", *HEADER],
        "bos": "<|begin_of_text|>",
        "eos": "<|eot_id|>",
        "template": HEADERS,
    },
}
VOCAB_SIZE, ROWS = 640, 664
SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rope_theta": 20_000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
NINE_HEADS = {"hidden_size": 512, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 56}
STRETCHED = {
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
}
BIASES = {"attention_bias": True, "mlp_bias": True}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "smollm": ("Llama", "smollm", {}),
    "nine-heads": ("Llama", "gpt-2", NINE_HEADS),
    "llama": ("Llama", "llama-bpe", {"tie_word_embeddings": False, **BIASES}),
    "long": ("Llama", "smollm", STRETCHED),
    "qwen2": ("Qwen2", "qwen2", {"vocab_size": ROWS}),
    "qwen3": ("Qwen3", "qwen2", {"tie_word_embeddings": False, "head_dim": 96, "vocab_size": ROWS}),
}
"""By name: family, tokenizer, and what of its shape is not `SHAPE`."""


def save_tokenizer(kind: str, folder: Path) -> None:
    """`tokenizer.json` and, as transformers writes them, the files beside it."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
    from transformers import PreTrainedTokenizerFast

    said = TOKENIZERS[kind]
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    words, whole = (ByteLevel(add_prefix_space=False, use_regex=one) for one in (True, False))
    cut = LETTERS + ("{1,3}" if kind == "llama-bpe" else "") + REST
    tokenizer.pre_tokenizer = {
        "gpt-2": words,
        "smollm": Sequence([Digits(individual_digits=True), words]),
    }.get(kind) or Sequence([Split(Regex(cut), "isolated"), whole])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(said["special"]) - len(said.get("plain", [])),
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chain(*(texts[:20] for texts in sample_texts().values())), trainer)
    tokenizer.add_special_tokens([AddedToken(one, normalized=False) for one in said["special"]])
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in said.get("plain", [])])
    if bos := said.get("bos"):
        framed = processors.TemplateProcessing(f"{bos} $A", None, [(bos, tokenizer.token_to_id(bos))])
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), framed])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=said["eos"],
        pad_token="<|endoftext|>" if said["special"] is IM else None,
        chat_template=said["template"],
    ).save_pretrained(folder)


def save_model(name: str, folder: Path, *, dtype: str = "float32", shard: str = "5GB") -> None:
    """A model directory as `save_pretrained` writes it."""
    import torch
    import transformers

    family, tokenizer, own = MODELS[name]
    config = getattr(transformers, f"{family}Config")(**{"vocab_size": VOCAB_SIZE, **SHAPE, **own})
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    generator = torch.Generator().manual_seed(0)
    for key, weight in model.named_parameters():
        back = key.endswith(("o_proj.weight", "down_proj.weight"))
        std = (0.06 if back else 0.04) * (256 / config.hidden_size) ** 0.5
        std = 0.12 if "embed" in key or "lm_head" in key else std
        if key.endswith("norm.weight"):
            torch.nn.init.uniform_(weight, 0.8, 1.2, generator=generator)
        else:
            torch.nn.init.normal_(weight, std=0.02 if key.endswith("bias") else std, generator=generator)
    if not config.tie_word_embeddings:  # near the embedding, or nothing would be likely
        with torch.no_grad():
            model.lm_head.weight.mul_(0.3).add_(model.model.embed_tokens.weight)
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard)
    save_tokenizer(tokenizer, folder)


@functools.cache
def model_dir(name: str, folder: Path) -> Path:
    """A model by its name in `MODELS`, made once a session."""
    save_model(name, folder / name)
    return folder / name


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file."""
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**value, **changes}), encoding="utf-8")
