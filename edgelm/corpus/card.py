"""The dataset card of a corpus."""

from html import escape
from typing import Any

from edgelm.corpus import tables
from edgelm.corpus.readers import SPLITS
from edgelm.corpus.recipe import Recipe
from edgelm.languages import Language


def card(manifest: dict[str, Any], recipe: Recipe, languages: dict[str, Language]) -> str:
    """The README of a corpus: Hugging Face metadata, sizes, sources with their terms, known limits."""
    kept = {code: one for code, one in manifest["languages"].items() if one["kept"]}
    lines = ["---", "language:"]
    lines += [
        f'- "{languages[code].bcp47 if code in languages else code}"' for code in kept
    ]  # else `no` is false
    lines += ["task_categories:", "- text-generation", "configs:", "- config_name: default", "  data_files:"]
    lines += _data_files(
        "*", {name for one in kept.values() for name in SPLITS if one["splits"][name]["documents"]}
    )
    for code, one in kept.items():
        lines += [f"- config_name: {code}", "  data_files:"]
        lines += _data_files(code, {name for name in SPLITS if one["splits"][name]["documents"]})
    lines += ["---", "", f"# Corpus built with the edgelm recipe `{recipe.name}`", ""]
    lines += [
        f"{manifest['kept']:,} of {manifest['documents']:,} documents were kept, "
        f"{manifest['bytes'] / 1e6:,.1f} MB of text. "
        "`report.html` shows what became of the others; `rejected/` holds them, with every reason.",
        "",
    ]
    lines += _markdown(*tables.table(manifest))
    lines += ["", "## Sources", "", *_markdown(*tables.sources_table(manifest)), ""]
    lines += [
        f"* {_cell(name)}: licence {_cell(one['licence'])}; attribution: {_cell(one['attribution'])}"
        for name, one in manifest["terms"].items()
    ]
    lines += ["", "## Training mix", "", *_markdown(*tables.mix_table(manifest))]
    lines += ["", "## Known limits", "", *(f"* {limit}" for limit in _limits(recipe, manifest))]
    return "\n".join(lines) + "\n"


def _limits(recipe: Recipe, manifest: dict[str, Any]) -> list[str]:
    limits = [
        "The language is what the record, the recipe or the file's name says"
        + (
            ", checked by an identifier that is unsure of short texts and of close neighbours."
            if recipe.identify
            else ". Nothing checked it."
        )
    ]
    if manifest["guessed"]:
        limits.append(f"Of {manifest['guessed']:,} documents nothing said the language: it was guessed.")
    limits.append(
        "Near-duplicates are found by chance, the likelier the more alike they are (see `report.html`)."
        if recipe.near_duplicates
        else "Only exact duplicates, up to case, digits, punctuation and spacing, were removed."
        if recipe.exact_duplicates
        else "Duplicates were not removed."
    )
    limits.append(
        "E-mail addresses, telephone, identity and card numbers are tags; names and addresses are not."
        if recipe.redact == "tags"
        else "Nothing personal was redacted."
    )
    limits.append(
        "Text of the evaluation files named by the recipe was looked for; of others it was not."
        if recipe.evaluation
        else "No evaluation data was looked for: a test set may be in it."
    )
    limits.append(
        "Nobody has read all of it. It may hold errors, prejudice, and text that is none of the language."
    )
    return limits


def _markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _cell(text: str) -> str:
    """Text that stays inside its cell of a Markdown table, whatever a record said."""
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|")


def _data_files(code: str, splits: set[str]) -> list[str]:
    lines = []
    for name in SPLITS:
        if name in splits:
            lines += [f"  - split: {name}", f'    path: "data/{code}/{name}-*.parquet"']
    return lines
