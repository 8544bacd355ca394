"""Faults that made published figures of small models wrong, one test each; edgelm must have none of them.

Other files test the parts; here each fault is looked for from outside, where a user would meet it.
"""

import json
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from made_up_tasks import COMMON, MOOD, line, write_task
from scripted import ASSISTANT, BOS, END, EOS, USER, VOCAB_SIZE, ByteModel, uniform

from edgelm.errors import BadInput
from edgelm.evaluate import evaluate as module
from edgelm.evaluate.predict import predict, rank
from edgelm.evaluate.scores import score
from edgelm.tasks.examples import Labelled, Pair, Tagged
from edgelm.tasks.task import Task, load_task

TEXT = "Sawubona mhlaba, 1994."


class Recording(ByteModel):
    """Says nothing in particular, and remembers every sequence it was fed."""

    def __init__(self, context: int = 64):
        super().__init__(self._after, context)
        self.fed: list[list[int]] = []

    def _after(self, ids: list[int]) -> np.ndarray:
        if self.fed and self.fed[-1] == ids[:-1]:
            self.fed.pop()
        self.fed.append(list(ids))
        return np.zeros(VOCAB_SIZE)


def moods(folder: Path, contents: dict[str, str | bytes] | None = None, **changes: Any) -> Task[Any]:
    folder.mkdir(exist_ok=True)
    return load_task(write_task(folder, contents or {}, MOOD, **changes))


def headlines(folder: Path) -> Task[Any]:
    changes = {"family": "generation", "fields": {"text": "sentence", "references": "mood"}, "labels": None}
    return moods(folder, **changes)


def test_end_of_sequence_inside_a_prompt(tmp_path: Path, tiny_model_dir: Path) -> None:
    """A post-processor that appends EOS tells the model that the text is over before it may answer."""
    tokenizers = pytest.importorskip("tokenizers")
    raw = tokenizers.Tokenizer.from_file(str(tiny_model_dir / "tokenizer.json"))
    assert raw.encode(TEXT).ids[-1] == raw.encode(TEXT, add_special_tokens=False).ids[-1]
    model = Recording()
    predict(model, moods(tmp_path / "choose"), [Labelled("x", "glad", "zul")])
    predict(model, headlines(tmp_path / "write"), [Pair("x", ("y",), "zul")])
    assert len(model.fed) > 2
    for ids in model.fed:
        assert ids[:2] == [BOS, USER][: len(ids)]
        assert EOS not in ids


def test_token_ids_of_config_and_tokenizer_differ(tiny_model_dir: Path) -> None:
    """A config that calls another token BOS or EOS makes every library but one's own generate wrongly."""
    from edgelm.tokenizer.text import TextTokenizer

    tokenizer = TextTokenizer(tiny_model_dir)
    config, generation, named = (
        json.loads((tiny_model_dir / name).read_text(encoding="utf-8"))
        for name in ("config.json", "generation_config.json", "tokenizer_config.json")
    )
    for name in ("bos_token", "eos_token", "pad_token"):
        assert config[f"{name}_id"] == tokenizer.id(named[name])
    assert generation["bos_token_id"] == tokenizer.bos
    assert generation["eos_token_id"] == [tokenizer.eos, tokenizer.end]
    assert config["vocab_size"] == tokenizer.vocab_size


def test_white_space_leaks_from_the_template(tiny_model_dir: Path) -> None:
    """A blank or line break of the template's own becomes a token of the prompt or of the answer, and the
    answer that is scored is not the one that was learnt."""
    transformers = pytest.importorskip("transformers", reason="the template is transformers'")
    pytest.importorskip("torch", reason="examples are made for PyTorch")
    from edgelm.finetune.examples import answer_item
    from edgelm.runtime import load
    from edgelm.tokenizer.text import TextTokenizer

    one = TextTokenizer(tiny_model_dir)
    framed = [one.bos, one.id("<|user|>"), *one.encode(TEXT), one.end, one.id("<|assistant|>")]
    assert one.chat(TEXT) == framed
    automatic = transformers.AutoTokenizer.from_pretrained(tiny_model_dir)
    said = [{"role": "user", "content": TEXT}]
    assert automatic.apply_chat_template(said, add_generation_prompt=True) == framed
    said.append({"role": "assistant", "content": "food"})
    learnt = answer_item(TEXT, "food", one, 128).ids.tolist()
    assert learnt == automatic.apply_chat_template(said) == [*framed, *one.encode("food"), one.end]
    model = load(tiny_model_dir)
    ranked = [*model.message(model.tokenize(TEXT)), *model.tokenize("food"), model.end]
    model.close()
    assert learnt == ranked


@pytest.mark.parametrize("method", ["full", "lora"])
def test_special_tokens_are_never_trained(tmp_path: Path, tiny_model_dir: Path, method: str) -> None:
    """Tokens that frame a chat and that finetuning leaves as they were say nothing to the model."""
    pytest.importorskip("torch", reason="finetuning needs PyTorch")
    from safetensors.numpy import load_file

    from edgelm.finetune.config import FinetuneConfig
    from edgelm.finetune.examples import ExampleSource, answer_item
    from edgelm.finetune.finetune import finetune
    from edgelm.finetune.lora import Lora
    from edgelm.model.directory import load_model
    from edgelm.pretrain.packing import Packer
    from edgelm.tokenizer.text import TextTokenizer

    one = TextTokenizer(tiny_model_dir)
    framing = [one.bos, one.id("<|user|>"), one.end, one.id("<|assistant|>")]
    config = FinetuneConfig(steps=2, batch=2, precision="fp32")
    lora = Lora() if method == "lora" else None
    finetune(tiny_model_dir, [load_task("instructions")], tmp_path / "model", config=config, lora=lora)
    before, after = (
        load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
        for folder in (tiny_model_dir, tmp_path / "model")
    )
    assert (np.abs(after - before)[framing].max(axis=1) > 0).all()
    # the output layer shares the embedding, so that every row has some gradient; these are read as well
    model = load_model(tiny_model_dir)
    source = ExampleSource([answer_item(TEXT, "ukudla", one, 64)], seed=0)
    model.loss(*Packer(source, batch=1, context=64, pad=2).next_batch()).backward()
    gradient = model.model.embed_tokens.weight.grad
    assert gradient is not None
    sizes = gradient.norm(dim=1)
    assert (sizes[framing] > 2 * sizes[one.id("<|spare_3|>")]).all()


def test_decomposed_letters_are_scored_as_wrong(tmp_path: Path) -> None:
    """A tokenizer that decomposes (NFD) writes what no reference in NFC equals, however right it is."""
    pytest.importorskip("sacrebleu", reason="text is scored with the extra 'evaluate'")
    pytest.importorskip("rouge_score", reason="text is scored with the extra 'evaluate'")
    text = "Ḓuvha ḽo ṱavha, vhana vho ṋea nṱhihi ya ṅombe"
    decomposed = normalize("NFD", text)
    assert decomposed != text
    for references, written in ((text, decomposed), (decomposed, text)):
        found = score([Pair("x", (references,), "ven")], [written])
        assert (found["chrf"], found["bleu"]) == (100, 100)
    files: dict[str, str | bytes] = {"zulu/train.jsonl": line(decomposed)}
    (example,) = moods(tmp_path, files).examples("train", ["zul"])
    assert example.text == text, "what a model reads is composed too"


def test_the_answer_is_cut_off_on_the_right(tmp_path: Path, tiny_model_dir: Path) -> None:
    """Cut at the context's end, a long example loses its answer: nothing is learnt, and nothing is ranked."""
    pytest.importorskip("torch", reason="examples are made for PyTorch")
    from edgelm.finetune.examples import answer_item
    from edgelm.model.decoder import IGNORE
    from edgelm.tokenizer.text import TextTokenizer

    one = TextTokenizer(tiny_model_dir)
    item = answer_item(TEXT * 50, "ukudla", one, 48)
    assert len(item.ids) == 48
    assert [token for token in item.targets if token != IGNORE] == [*one.encode("ukudla"), one.end]
    model = Recording(context=32)
    predict(model, moods(tmp_path, labels=["glad", "sorrowful"]), [Labelled("x" * 500, "glad", "zul")])
    last = max(model.fed, key=len)
    assert len(last) <= 32
    assert bytes(one for one in last[last.index(ASSISTANT) + 1 :] if one < BOS) == b"sorrowful"


def test_summed_likelihood_favours_short_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 intents an ignorant model picks the shortest by the sum, so the mean is reported beside it."""
    labels = [f"intent {'x' * number}y" for number in range(40)]
    examples = [Labelled("x", label, "zul") for label in labels]
    task = moods(tmp_path / "task", labels=labels)
    assert rank(uniform(128), task, examples)[0] == [labels[0]] * 40
    # of tokens that are all equally likely but for END, the mean prefers the longest
    rarely_ends = ByteModel(lambda ids: np.eye(VOCAB_SIZE)[END] * -9.0, context=128)
    assert rank(rarely_ends, task, examples) == ([labels[0]] * 40, [labels[-1]] * 40)
    test = [line("x", labels[0]), *[line("x", labels[-1])] * 3]
    scores = evaluated(tmp_path, monkeypatch, rarely_ends, test, labels=labels, metric="accuracy")
    assert (scores["accuracy"], scores["by_mean"]) == (0.25, 0.75)


def evaluated(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: ByteModel,
    test: list[str],
    validation: list[str] | None = None,
    prompt: str = "english",
    **changes: Any,
) -> dict[str, Any]:
    """What `edgelm evaluate` finds of a model whose probabilities are known."""
    contents: dict[str, str | bytes] = {"test.jsonl": "".join(test)}
    if validation:
        contents["validation.jsonl"] = "".join(validation)
    files = {name.removesuffix(".jsonl"): name for name in contents}
    task = moods(folder / "evaluated", contents, files=files, languages={"zul": "zul"}, **changes)
    monkeypatch.setattr(module, "load", lambda path, adapter: model)
    monkeypatch.setattr(module, "load_labeller", lambda path: None)
    (folder / "model.bin").touch()
    found = module.evaluate(folder / "model.bin", folder / "out", tasks=[task], prompt=prompt)  # type: ignore[arg-type]
    scores: dict[str, Any] = found["tasks"]["mood"]
    return scores


def test_prompts_are_picked_on_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever prompt does best on test flatters; here validation and test disagree, and validation wins."""

    def after(ids: list[int]) -> np.ndarray:
        """The native prompt is answered `b`, the English one `a`."""
        said = bytes(one for one in ids if one < BOS)
        return np.eye(VOCAB_SIZE)[ord("b" if said.startswith(b"N") else "a")] * 9.0

    scores = evaluated(
        tmp_path,
        monkeypatch,
        ByteModel(after),
        [line("x", "a"), line("y", "a")],
        [line("z", "b"), line("w", "b")],
        "auto",
        labels=["a", "b"],
        prompts={"eng": "E{text}", "zul": "N{text}"},
    )
    assert scores["prompts"]["zul"]["prompt"] == "native"
    assert scores["accuracy"] == 0.0


def test_tags_that_were_never_given_leave_the_count(tmp_path: Path, tiny_model_dir: Path) -> None:
    """Gold and predicted tags cut to the shorter of the two are right wherever a model stopped early."""
    gold = [Tagged(("a", "b", "c", "d"), ("NOUN", "VERB", "NOUN", "ADJ"), "zul")]
    for short in (["NOUN"], [], ["NOUN", "VERB", "NOUN", "ADJ", "ADJ"]):
        with pytest.raises(BadInput, match=rf"sentence 1 has 4 words and {len(short)} predicted tags"):
            score(gold, [short], labels=("NOUN", "VERB", "ADJ"))
    assert score(gold, [["NOUN", "ADJ", "ADJ", "NOUN"]], labels=("NOUN", "VERB", "ADJ"))["accuracy"] == 0.25

    pytest.importorskip("torch", reason="the head runs in PyTorch")
    from edgelm.model.directory import load_model
    from edgelm.model.head_config import HeadConfig
    from edgelm.model.heads import save_labeller, with_head
    from edgelm.runtime import load_labeller

    head = HeadConfig("token", ("NOUN", "VERB", "ADJ"))
    save_labeller(with_head(load_model(tiny_model_dir), head), tiny_model_dir, tmp_path / "model", "#\n")
    model = load_labeller(tmp_path / "model")
    assert model is not None
    words = ("umuntu", "ukhulumile", ".") * 200  # several times the context
    long = Tagged(words, ("NOUN", "VERB", "ADJ") * 200, "zul")
    changes = {"family": "tagging", "labels": list(head.labels), "scheme": "flat"}
    task = load_task(write_task(tmp_path, {}, COMMON, **changes))
    (tags,) = predict(model, task, [long])
    assert len(tags) == len(words)
