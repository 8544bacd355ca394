"""A decoder that labels instead of writing: one linear layer on its final hidden states.

Saved as transformers' LlamaForSequenceClassification or LlamaForTokenClassification. Of a head that was
trained with attention both ways transformers knows nothing: it would read the text from left to right.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn

from edgelm.model.attention import document_starts
from edgelm.model.config import ModelConfig, read_config
from edgelm.model.decoder import Cache, Decoder, Linear
from edgelm.model.directory import check_room, load_weights, save_model, save_weights
from edgelm.model.head_config import HeadConfig


class Labeller(Decoder):
    """A decoder with a head in place of the embedding's second use.

    Its logits are [B, T, labels]; the targets of its loss are numbers of labels, `IGNORE` where none is asked
    for.
    """

    def __init__(self, config: ModelConfig, head: HeadConfig):
        super().__init__(replace(config, both_ways=head.both_ways, tied=True))  # its head is another
        self.head = head
        self.score = Linear(config.hidden_size, len(head.labels))

    @property
    def output(self) -> Tensor:
        return self.score.weight

    def hidden(
        self, tokens: Tensor, documents: Tensor | None = None, past: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        x, cache = super().hidden(tokens, documents, past)
        return document_means(x, documents) if self.head.pooling == "mean" else x, cache


def document_means(x: Tensor, documents: Tensor | None) -> Tensor:
    """In place of each token's state [B, T, D] the mean over its document; no `documents` are one a row."""
    if documents is None:
        return x.mean(1, keepdim=True).expand_as(x)
    lengths = document_starts(documents).diff().to(x.device)
    of = torch.arange(len(lengths), device=x.device).repeat_interleave(lengths)
    sums = x.new_zeros(len(lengths), x.shape[2], dtype=torch.float32).index_add(
        0, of, x.flatten(0, 1).float()
    )
    return (sums / lengths[:, None])[of].view_as(x).to(x.dtype)


def goes_on(decoder: Decoder, head: HeadConfig) -> TypeGuard[Labeller]:
    """Whether a decoder has a head already that gives these labels."""
    if not isinstance(decoder, Labeller):
        return False
    return (decoder.head.kind, decoder.head.labels) == (head.kind, head.labels)


def with_head(decoder: Decoder, head: HeadConfig, seed: int = 0) -> Labeller:
    """A labeller with the weights of a decoder, and its head where it gives these labels, else a new one."""
    model = Labeller(decoder.config, head)
    model.model.load_state_dict(decoder.model.state_dict())
    if goes_on(decoder, head):
        model.score.load_state_dict(decoder.score.state_dict())
    else:
        nn.init.normal_(model.score.weight, std=0.02, generator=torch.Generator().manual_seed(seed))
    return model.train(decoder.training)


def save_labeller(model: Labeller, tokenizer: Path, directory: Path, card: str) -> None:
    """Write a model directory with the head's weights and labels."""
    save_model(model, tokenizer, directory, card, model.head.to_hugging_face())
    if model.head.kind == "token":  # transformers' has a bias
        weights = {**model.state_dict(), "score.bias": torch.zeros(len(model.head.labels))}
        save_weights(weights, directory / "model.safetensors", {"format": "pt"})


def load_labeller(directory: Path, head: HeadConfig) -> Labeller:
    """The labeller in a model directory, in float32 on the CPU, in evaluation mode.

    Raises:
        BadInput: a file is missing or damaged, or the weights do not fit `config.json`.
    """
    config = read_config(directory)
    check_room(config, directory)
    model = Labeller(config, head)
    load_weights(model, directory)
    return model.eval()
