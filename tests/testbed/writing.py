"""Every command that writes, on inputs so small that each is done in seconds, and what it is given.

The outputs of earlier commands are the inputs of later ones, in the order of `COMMANDS`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import made_up

TASK = "made-up.yaml"
LABELLED = ("documents", TASK)
TRAINED = "--steps 3 --batch 2 --precision fp32 -q"
TAUGHT = f"{TRAINED} --context 96"


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        line: what is typed, without `edgelm`; it writes to `out`.
        takes: what it finds in its folder: names of commands whose output it is, or of `write_stock`'s.
        says: what is typed into it.
        timed: files in which it says how fast something was.
        answers: it tells on stdout what is wrong with its input, and exit code 1 is an answer.
    """

    line: str
    takes: tuple[str, ...]
    says: str = ""
    timed: tuple[str, ...] = ()
    answers: bool = False

    @property
    def module(self) -> str:
        """What is imported and started."""
        return "edgelm.corpus.langid_training" if self.line.startswith("langid") else "edgelm.cli"

    @property
    def words(self) -> list[str]:
        words = self.line.split()
        return words[1:] if words[0] == "langid" else words


COMMANDS = {
    "corpus": Command("corpus build documents --workers 1 -o out -q", ("documents",)),
    "workers": Command("corpus build documents --workers 2 -o out -q", ("documents",)),
    "tuned": Command("corpus tune corpus --set too_short.min=6 -o out -q", ("corpus",)),
    "langid": Command(
        "langid known --other other --background background -o out", ("known", "other", "background")
    ),
    "tokenizer": Command("tokenizer train corpus --vocab-size 512 -o out -q", ("corpus",)),
    "tokens": Command(
        "tokenizer report tokenizer corpus -o out.html --json out.json -q", ("tokenizer", "corpus")
    ),
    "sweep": Command("tokenizer sweep corpus --sizes 400,512 --json out.json -q", ("corpus",)),
    "check": Command(f"tasks check {TASK} --json out.json", LABELLED, answers=True),
    "base": Command(
        f"pretrain corpus tokenizer -o out --warmup 1 --compile off {TRAINED}", ("corpus", "tokenizer")
    ),
    "extended": Command(
        "pretrain corpus tokenizer -o out --init-from base --select best --validate-every 1 --ema 0.5 "
        + TRAINED,
        ("corpus", "tokenizer", "base"),
    ),
    "full": Command(f"finetune base {TASK} -o out --replay corpus {TAUGHT}", ("base", "corpus", *LABELLED)),
    "mono": Command(
        f"finetune base {TASK} -o out --regime mono --languages zul,xho {TAUGHT}", ("base", *LABELLED)
    ),
    "seeds": Command(f"finetune base {TASK} -o out --method head --seeds 2 {TAUGHT}", ("base", *LABELLED)),
    "lora": Command(f"finetune base {TASK} -o out --method lora {TAUGHT}", ("base", *LABELLED)),
    "head": Command(f"finetune base {TASK} -o out --method head {TAUGHT}", ("base", *LABELLED)),
    "ensemble": Command(f"finetune base {TASK} -o out --method ensemble {TAUGHT}", ("base", *LABELLED)),
    "auto": Command(f"finetune base {TASK} -o out --method auto {TAUGHT}", ("base", *LABELLED)),
    "linear": Command(f"finetune {TASK} -o out --method linear -q", LABELLED),
    "crf": Command("finetune tags.yaml -o out --method crf -q", ("tags", "tags.yaml")),
    "gguf": Command("export base -o out --to gguf:F16 --to gguf:Q8_0 --text none -q", ("base",)),
    "quantised": Command("export base -o out --to gguf:Q4_K_M --text corpus -q", ("base", "corpus")),
    "pruned": Command(
        "export base -o out --to gguf:F16 --text corpus --languages zul,xho -q", ("base", "corpus")
    ),
    "onnx": Command("export base -o out --to onnx:fp32 --text none -q", ("base",)),
    "int8": Command("export base -o out --to onnx:int8 --text corpus -q", ("base", "corpus")),
    "adapter": Command("export lora -o out --to lora:F16 --to gguf:F16 --text none -q", ("lora", "base")),
    "head onnx": Command("export head -o out --to onnx:fp32 -q", ("head",)),
    "linear onnx": Command("export linear -o out --to onnx:fp32 -q", ("linear",)),
    "phone": Command("export phone gguf/model-Q8_0.gguf -o out -q", ("gguf",)),
    "finished": Command(
        "quantize base -o out --qat --to gguf:Q4_0 --text corpus --steps 3 --batch 2 --context 64 "
        "--precision fp32 -q",
        ("base", "corpus"),
    ),
    "evaluated": Command(f"evaluate full {TASK} -o out --corpus corpus -q", ("full", "corpus", *LABELLED)),
    "labelled": Command(f"evaluate linear {TASK} -o out -q", ("linear", *LABELLED)),
    "backend": Command(f"evaluate full {TASK} -o out --backend gguf --languages zul -q", ("full", *LABELLED)),
    "chat": Command("chat full --max-tokens 4 --threads 1", ("full",), "Sawubona\n/save out.jsonl\n"),
    "bench": Command(
        "bench gguf/model-F16.gguf -o out -p 8 -n 4 -r 1 --threads 1 -q",
        ("gguf",),
        timed=("bench.html", "bench.png", "edgelm.json"),
    ),
    "quickstart": Command(
        f"quickstart --source documents --task {TASK} -o out -q", LABELLED, timed=("results.json",)
    ),
}


def write_stock(folder: Path) -> None:
    """What no command makes: documents, labelled data, text for the language identifier."""
    made_up.make_task(folder)
    lines = []
    for number in range(60):
        words = [f"w{number % 7}a", "uThandi" if number % 2 else "intaba", f"ba{number % 5}"]
        tags = ["O", "B-PER" if number % 2 else "O", "O"]
        lines.append("\n".join(f"{word} {tag}" for word, tag in zip(words, tags, strict=True)))
    for split, part in (("train", lines[:40]), ("validation", lines[40:50]), ("test", lines[50:])):
        (folder / "tags").mkdir(exist_ok=True)
        (folder / "tags" / f"{split}.txt").write_text("\n\n".join(part) + "\n", encoding="utf-8")
    files = {split: f"{split}.txt" for split in ("train", "validation", "test")}
    task = {"name": "tags", "family": "tagging", "licence": "CC0-1.0", "attribution": "nobody"}
    task |= {
        "folder": "tags",
        "files": files,
        "languages": {"zul": "zul"},
        "labels": ["PER"],
        "scheme": "bio",
    }
    (folder / "tags.yaml").write_text(json.dumps(task), encoding="utf-8")
    for name, codes in (("known", ("zul", "xho")), ("other", ("sna",)), ("background", ("fra", "deu"))):
        (folder / name).mkdir()
        for code in codes:
            text = "".join(one["text"] + "\n" for one in made_up.documents(code, 60))
            (folder / name / f"{code}.txt").write_text(text, encoding="utf-8")
