import json
import math
from pathlib import Path

import numpy as np
import pytest
from scripted import BOS, VOCAB_SIZE, ByteModel, uniform

from edgelm import resources
from edgelm.evaluate.bits_per_byte import bits_per_byte, perplexity_of, read_texts
from edgelm.runtime import load


def test_by_hand() -> None:
    def after(ids: list[int]) -> np.ndarray:
        share = {BOS: 1 / 2, ord("a"): 1 / 8}.get(ids[-1], 1 / 4)
        following = {BOS: ord("a"), ord("a"): ord("b")}.get(ids[-1], ord("c"))
        logits = np.full(VOCAB_SIZE, math.log((1 - share) / (VOCAB_SIZE - 1)))
        logits[following] = math.log(share)
        return logits

    # abc: 1 + 3 + 2 bits; a: 1 bit; nothing is counted for the end of a text
    found = bits_per_byte(ByteModel(after), {"eng": ["abc", "a"], "zul": ["a"]})
    assert found == {"eng": 7 / 4, "zul": 1.0, "mean": 1.375}


def test_perplexity_is_per_token() -> None:
    found = perplexity_of(read_texts(uniform(), {"eng": ["abc", "ḓ"], "zul": ["a"]}))
    assert found == pytest.approx({"eng": VOCAB_SIZE, "zul": VOCAB_SIZE, "mean": VOCAB_SIZE}, abs=0.01)

    def after(ids: list[int]) -> np.ndarray:
        logits = np.full(VOCAB_SIZE, math.log(1 / 2 / (VOCAB_SIZE - 1)))
        logits[ord("b")] = math.log(1 / 2)
        return logits

    read = read_texts(ByteModel(after), {"eng": ["bb"], "zul": ["b"], "xho": ["bbbb"]})
    assert perplexity_of(read) == {"eng": 2.0, "zul": 2.0, "xho": 2.0, "mean": 2.0}
    assert (read["xho"].tokens, read["xho"].bytes) == (4, 4)
    read["zul"].nats, read["zul"].bytes = math.log(8), 7
    assert perplexity_of(read)["mean"] == pytest.approx((2 * 2 * 8) ** (1 / 3), abs=0.01)
    assert perplexity_of({}) == {}


@pytest.mark.parametrize("text", ["plain", "Tshivenḓa ḽ ṅ 👩🏾‍🌾", "long " * 100])
def test_a_uniform_model_needs_log2_of_the_vocabulary_a_token(text: str) -> None:
    found = bits_per_byte(uniform(context=16), {"ven": [text]})  # a token is a byte here
    assert found["ven"] == found["mean"] == pytest.approx(math.log2(VOCAB_SIZE), abs=1e-4)


def test_windows_of_a_long_text_each_begin_after_bos() -> None:
    def after(ids: list[int]) -> np.ndarray:
        logits = np.full(VOCAB_SIZE, -1e9)
        logits[[ord("x"), ord("y")]] = math.log(1 / 4), math.log(3 / 4)
        return logits if len(ids) == 1 else np.where(np.arange(VOCAB_SIZE) == ord("x"), 0.0, -1e9)

    found = bits_per_byte(ByteModel(after, context=8), {"eng": ["x" * 20]})
    assert found["eng"] == 3 * 2 / 20  # three windows of 8, 8 and 4: the first x of each costs two bits


def test_each_document_is_reported_to_the_progress() -> None:
    steps: list[float] = []
    bits_per_byte(uniform(), {"eng": ["a", "b"], "zul": ["c"]}, lambda done, note="": steps.append(done))
    assert steps == [1, 1, 1]
    assert bits_per_byte(uniform(), {}) == {}


def test_real_text_as_transformers_measures_it(model_dir: Path, export_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lines = resources.path("corpus", "sample", "ven.jsonl").read_text(encoding="utf-8").splitlines()[:6]
    text = " ".join(json.loads(line)["text"] for line in lines)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    theirs = AutoModelForCausalLM.from_pretrained(model_dir)
    ids = tokenizer.encode(text, add_special_tokens=False)
    context = theirs.config.max_position_embeddings
    assert len(ids) > 2 * context
    bits = 0.0
    with torch.inference_mode():
        for start in range(0, len(ids), context):
            window = torch.tensor([[tokenizer.bos_token_id, *ids[start : start + context]]])
            logits = theirs(window[:, :-1]).logits[0].double()
            bits -= logits.log_softmax(-1).gather(1, window[0, 1:, None]).sum().item() / math.log(2)
    for path in (model_dir, export_dir / "onnx" / "fp32", export_dir / "model-F32.gguf"):
        model = load(path)
        assert bits_per_byte(model, {"ven": [text]})["ven"] == pytest.approx(
            bits / len(text.encode()), abs=2e-4
        )
        model.close()
