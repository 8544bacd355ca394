"""Models that LoRA adapters were merged into, without the training."""

from pathlib import Path

import torch

from edgelm.finetune.lora import ADAPTER, Lora, add_adapter, save_adapter
from edgelm.model.directory import load_model, save_model
from edgelm.tokenizer.text import TextTokenizer


def adapted(base: Path, folder: Path, seed: int, rows: bool) -> Path:
    """A model directory as `finetune --method lora` leaves it, whose adapter learnt something at random.

    Args:
        rows: the embeddings of the chat's tokens learnt too.
    """
    decoder, text = load_model(base), TextTokenizer(base)
    chat = text.framing()
    made = add_adapter(decoder, Lora(4, 12), seed, tokens=chat if rows else ())
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in decoder.named_parameters():
            if "lora_B" in name or "trainable_tokens" in name:
                weight += 0.05 * torch.randn(weight.shape, generator=draw)
    folder.mkdir()
    save_adapter(made, base, folder / ADAPTER)
    made.merge_and_unload()
    save_model(decoder, base, folder, "# adapted\n")
    return folder
