"""What `edgelm export --target` prints: every format that was tried, and why it was chosen or was not."""

from collections.abc import Mapping
from typing import Any

from edgelm.cli.options import print_table
from edgelm.export.target import PROMPT_TOKENS, SAME_LOSS

ESTIMATED = "~"
"""Before each number that was not measured."""


def print_target(figures: Mapping[str, Any]) -> None:
    """The figures of `target.json` as a table of 80 columns, with its limits and what its words mean."""
    target, candidates = figures["target"], figures["candidates"]
    elsewhere = figures["speed"] == "estimated"
    header = ["format", "MB", "loses", "memory MB", "here", *(["there"] if elsewhere else []), "first token"]
    judged = {
        key: any(one.get(key) for one in candidates) for key in ("tokens_per_second", "first_token_seconds")
    }
    limits = [
        "limit",
        f"≤{target['size'] / 1e6:g}",
        f"≤{target['loss']:g}",
        f"≤{target['memory'] / 1e6:g}",
        *([""] if elsewhere else []),
        f"≥{target['tokens_per_second']:g}" if judged["tokens_per_second"] else "-",
        f"≤{target['first_token']:g} s" if judged["first_token_seconds"] else "-",
        "",
    ]
    rows = [_row(one, figures["chosen"], elsewhere) for one in candidates]
    print_table([*header, "verdict"], [limits, *rows], f"For {target['about']}")
    for one in candidates:
        if not one["fits"]:
            print(f"{one['format']}: {'; '.join(one['why_not'])}")
    if not all(one["fits"] for one in candidates):
        print()
    print("\n".join(_legend(target, elsewhere)))


def _row(one: Mapping[str, Any], chosen: str | None, elsewhere: bool) -> list[str]:
    if "bytes" not in one:
        return [one["format"], *["-"] * (6 if elsewhere else 5), "failed"]
    sign = ESTIMATED if elsewhere else ""
    there, first = one["tokens_per_second"], one["first_token_seconds"]
    return [
        one["format"],
        f"{one['bytes'] / 1e6:.{1 if one['bytes'] < 1e8 else 0}f}",
        f"{one['bits_per_byte_lost']:.4f}".replace("-0.0000", "0.0000"),
        f"{one['memory_bytes'] / 1e6:.0f}",
        f"{one['tokens_per_second_here']:.0f}",
        *([f"{sign}{there:.0f}" if there else "-"] if elsewhere else []),
        f"{sign}{first:.2g} s" if first else "-",
        "chosen" if one["format"] == chosen else "fits" if one["fits"] else "over",
    ]


def _legend(target: Mapping[str, Any], elsewhere: bool) -> list[str]:
    """What the words of the table mean, at most 80 columns a line."""
    found = [
        "loses: rise in bits per byte, the less the better, mean of the languages",
        "memory: by how much a process here grows that loads the model and writes",
        "here: tokens written a second on this machine" + ("; there: on the device" if elsewhere else ""),
        f"first token: after a prompt of {PROMPT_TOKENS} tokens" + (", on the device" if elsewhere else ""),
    ]
    if elsewhere:
        found.append(f"{ESTIMATED} estimated from the device's memory and processor; the rest was measured")
    if target["choose"] == "speed":
        return [*found, "chosen: of those that fit, the fastest here"]
    return [
        *found,
        f"chosen: of those that fit, what loses least; within {SAME_LOSS:g} of it the smallest",
    ]
