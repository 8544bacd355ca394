"""The models that ship with edgelm, made from their data: EDGELM_DATA=DATA python demo/make_models.py WORK

    EDGELM_DATA=data python demo/make_models.py work            # every step, and the models into demo/models
    EDGELM_DATA=data python demo/make_models.py work --ship     # the last step alone

Two cores need about three hours when they do nothing else. Every step leaves a folder in WORK; a step
that is done is not done again, and one that was interrupted goes on where it was. DATA holds `raw`
(what the recipe `south-africa` reads) and `tasks` (the labelled sets; no text of theirs stays in the corpus).
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgelm import artifacts, resources
from edgelm.corpus.report import read_manifest
from edgelm.errors import EdgelmError
from edgelm.languages import load_languages
from edgelm.model.card import card, hub_languages, table
from edgelm.model.config import get_preset

NAME = "mzansi-tiny"
LICENCE = "cc-by-sa-4.0"  # the strictest of its sources asks to share alike
FORMATS = {"gguf:Q8_0": "model-Q8_0.gguf", "onnx:int4-all": "onnx/int4-all"}
STEPS = """
corpus build south-africa -o corpus --evaluation {data}/tasks --workers 2
tokenizer train corpus -o tokenizer --vocab-size 8192
pretrain corpus tokenizer -o first --preset tiny --steps 1000 --batch 16 --warmup 30 --decay 0.3 {computing}
pretrain corpus tokenizer -o base --init-from first --seed 1 --learning-rate 0.003 --steps 2000 --batch 16
  --warmup 40 --decay 0.5 {computing}
finetune sib200 --method linear --min-df 2 -o topics
finetune injongo_intent --method linear --min-df 3 -o intents
finetune afrisenti --method linear --min-df 2 -o sentiment
finetune nchlt_pos --method crf --min-df 3 --regime mono -o parts-of-speech
finetune nchlt_ner --method crf --min-df 3 --regime mono -o names
"""
CONTEXT = get_preset("tiny").context
COMPUTING = "--precision bf16 --compile off"
TASKS = {name: name for name in ("topics", "intents", "sentiment")} | {
    f"{name}-{code}": f"{name}/{code}"
    for name in ("names", "parts-of-speech")
    for code in ("nbl", "ssw", "xho", "zul")
}
"""Models for tasks, and the folders that the steps leave them in."""
KEPT = ("README.md", "config.json", "features.txt", "attributes.txt", "model.safetensors")
"""Of a model for a task."""
BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
CARD = Path(__file__).with_name("model_card.md")


def run(line: str, work: Path) -> None:
    """A command of edgelm, or a script of `benchmarks/`, in the folder WORK."""
    print(f"\n{line}", flush=True)
    name, *words = shlex.split(line)
    program = ["-m", "edgelm"] if name == "edgelm" else [str(BENCHMARKS / name)]
    if subprocess.run([sys.executable, *program, *words], cwd=work).returncode:
        raise EdgelmError(f"{line}: failed. Mend what it says, and start again: the steps before it stay.")


def data_folder() -> Path:
    """EDGELM_DATA, made absolute for the steps, which run elsewhere."""
    if not os.environ.get("EDGELM_DATA"):
        raise EdgelmError("EDGELM_DATA is not set. Set it to the folder with raw and tasks.")
    data = Path(os.environ["EDGELM_DATA"]).resolve()
    os.environ["EDGELM_DATA"] = str(data)
    return data


def make(work: Path, data: Path) -> None:
    """All steps from the data to the export."""
    for step in re.sub(r"\n +", " ", STEPS).strip().splitlines():
        run(f"edgelm {step.format(data=shlex.quote(str(data)), computing=COMPUTING)}", work)
    named = work / NAME  # as the base, but for its card: the title, licence and languages of the GGUF
    shutil.rmtree(named, ignore_errors=True)
    shutil.copytree(work / "base", named)
    (named / "README.md").write_text(card(NAME, about(work), []), encoding="utf-8")
    run(f"edgelm export {NAME} -o export --text corpus {' '.join(f'--to {one}' for one in FORMATS)}", work)
    models = " ".join(f"export/{one}" for one in FORMATS.values())
    run(f"ngram.py corpus {models} -o ngram.json", work)


def ship(work: Path, folder: Path) -> None:
    """Put what is given away into `folder`, in place of what is there, with a card that says what it is."""
    if missing := [name for name in ("export", "base", *TASKS.values()) if not (work / name).is_dir()]:
        raise EdgelmError(f"{work}: holds no {', '.join(missing)}. Run the steps before: leave --ship out.")
    made = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(made, ignore_errors=True)
    own = made / NAME
    own.mkdir(parents=True)
    shutil.copy(work / "export" / FORMATS["gguf:Q8_0"], own / f"{NAME}-Q8_0.gguf")
    shutil.copytree(work / "export" / FORMATS["onnx:int4-all"], own / "onnx-int4")
    (own / "README.md").write_text(full_card(work), encoding="utf-8")
    curve = "".join(json.dumps(line) + "\n" for line in both_runs(work))
    (own / "metrics.jsonl").write_text(curve, encoding="utf-8")
    record(work / "base", own / "onnx-int4")
    for name, source in TASKS.items():
        (made / name).mkdir()
        for file in KEPT:
            if (work / source / file).exists():
                shutil.copy(work / source / file, made / name)
        record(work / source, made / name)
    for one in made.rglob("*"):
        one.chmod(0o755 if one.is_dir() else 0o644)
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)
    for one in sorted(folder.iterdir()):
        print(f"{one}: {sum(file.stat().st_size for file in one.rglob('*')) / 1e6:.1f} MB")


def both_runs(work: Path) -> list[dict[str, Any]]:
    """The curves of both runs as one."""
    texts = ((work / one / "metrics.jsonl").read_text(encoding="utf-8") for one in ("first", "base"))
    first, second = ([json.loads(line) for line in text.splitlines()] for text in texts)
    steps, tokens = first[-1]["step"] + 1, first[-1]["tokens"]
    return first + [
        {**line, "step": line["step"] + steps, "tokens": line["tokens"] + tokens} for line in second
    ]


def record(source: Path, folder: Path) -> None:
    """How a model was made, without the names of this machine's folders."""
    said = read_json(source / artifacts.PROVENANCE)
    kept = {key: said[key] for key in ("command", "config", "digest", "versions", "results")}
    artifacts.write_json(folder / artifacts.PROVENANCE, kept)


def about(work: Path) -> dict[str, str | list[str]]:
    """Metadata of the card, as the Hugging Face hub reads it."""
    languages = [code for code, one in read_manifest(work / "corpus")["languages"].items() if one["kept"]]
    return {"license": LICENCE, "pipeline_tag": "text-generation", "language": hub_languages(languages)}


def full_card(work: Path) -> str:
    """The card of the shipped model, from the records of the steps."""
    manifest, bits = read_manifest(work / "corpus"), read_json(work / "ngram.json")
    runs = [read_json(work / one / artifacts.PROVENANCE)["config"] for one in ("first", "base")]
    gguf, graph = (bits[f"export/{one}"] for one in FORMATS.values())
    names = {code: one.autonym for code, one in load_languages().items()}
    header = ["language", "5-gram", "Q8_0", "against the 5-gram"]
    rows = [
        [names.get(code, code), f"{one:.3f}", f"{gguf[code]:.3f}", f"{gguf[code] / one - 1:+.1%}"]
        for code, one in bits["5-gram"].items()
    ]
    sources = [
        [name, one["licence"], "; ".join(dict.fromkeys(one["attribution"].split("; ")))]
        for name, one in manifest["terms"].items()
        if manifest["sources"][name]["kept"]
    ]
    verified = read_json(work / "export" / "verification.json").items()
    text = CARD.read_text(encoding="utf-8").format(
        name=NAME,
        steps=sum(one["steps"] for one in runs),
        tokens=sum(one["steps"] * one["batch"] * CONTEXT for one in runs) / 1e6,
        bits="\n".join(table(header, rows)),
        lost=", ".join(f"{name} {one['kl']:.4f}" for name, one in verified),
        more=f"{graph['mean'] - gguf['mean']:+.3f}",
        documents=manifest["kept"],
        megabytes=manifest["bytes"] / 1e6,
        sources="\n".join(table(["source", "licence", "by"], sources)),
    )
    return card(NAME, about(work), text.splitlines())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--ship", action="store_true")
    options = parser.parse_args()
    if not options.ship:
        data = data_folder()
        options.work.mkdir(parents=True, exist_ok=True)
        make(options.work.resolve(), data)
    ship(options.work, resources.path("demo", "models"))


if __name__ == "__main__":
    try:
        main()
    except EdgelmError as error:
        sys.exit(str(error))
