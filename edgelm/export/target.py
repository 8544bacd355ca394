"""Targets: what a device can take, and which export to give it (`export/targets/*.yaml`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from edgelm import resources
from edgelm.errors import BadInput, instead_of
from edgelm.export.verify import bounds

PROMPT_TOKENS = 64
"""Of the prompt after which the first token is waited for: a question of four lines."""
SAME_LOSS = 0.001
"""Bits per byte. Formats closer than this differ by chance in the text that they are verified on."""
Choice = Literal["quality", "speed"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a device can take.

    Attributes:
        formats: that run there.
        choose: the best in `quality` that fits, or the one with the most `speed`.
        threads: there; 0 for those that suit a format best, measured.
        loss: bits per byte over float32, mean of languages, at most.
        size, memory: bytes at most.
        tokens_per_second: at least, when writing.
        first_token: seconds at most until the first token after a prompt of 64.
        bytes_per_second, operations_per_second: what the device can do; None where speed is what is measured
            here, or is not judged.
    """

    name: str
    about: str
    formats: tuple[str, ...]
    choose: Choice
    threads: int
    loss: float
    size: float
    memory: float
    tokens_per_second: float
    first_token: float
    bytes_per_second: float | None = None
    operations_per_second: float | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether the device is another than this machine, so that its speed is estimated."""
        return self.bytes_per_second is not None or self.operations_per_second is not None


@dataclass(slots=True)
class Candidate:
    """A format's figures.

    Attributes:
        loss: in bits per byte over float32, mean of languages, and in `worst`, the language that loses most.
        memory: bytes by which a process grows that loads the model, reads and writes.
        here: tokens/s written on this machine.
        tokens_per_second, first_token: on the device, measured where it is this machine; None where unknown.
        failed: why there is no such file; empty where there is one.
        over: what does not fit, by how much over its limit (1.2 for a fifth), and in words.
    """

    format: str
    failed: str = ""
    loss: float = 0.0
    worst: tuple[str, float] = ("", 0.0)
    size: int = 0
    memory: int = 0
    here: float = 0.0
    tokens_per_second: float | None = None
    first_token: float | None = None
    over: dict[str, tuple[float, str]] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        return not self.failed and not self.over


def judge(one: Candidate, target: Target) -> None:
    """Fill in what of a candidate does not fit."""
    if one.failed:
        return
    found: dict[str, tuple[float, str]] = {}
    for name, value, limit in (("size", one.size, target.size), ("memory", one.memory, target.memory)):
        found[name] = value / limit, f"{name} {value / 1e6:.1f} MB, {limit / 1e6:g} allowed"
    found["loss"] = one.loss / target.loss, f"loses {one.loss:.3f} bits per byte, {target.loss:g} allowed"
    if one.tokens_per_second is not None:
        ratio = target.tokens_per_second / one.tokens_per_second
        said = f"writes {one.tokens_per_second:.1f} tokens/s, {target.tokens_per_second:g} wanted"
        found["tokens_per_second"] = ratio, said
    if one.first_token is not None:
        said = f"first token after {one.first_token:.2f} s, {target.first_token:g} allowed"
        found["first_token"] = one.first_token / target.first_token, said
    one.over = {name: value for name, value in found.items() if not value[0] <= 1}


def choose(candidates: Sequence[Candidate], by: Choice) -> Candidate | None:
    """The best of those that fit, None where none does.

    By `speed` it is the fastest; by `quality` the one that loses least, of those that lose as good as equally
    little the smallest. Gains are chance, and count as losing nothing.
    """
    fitting = [one for one in candidates if one.fits]
    if not fitting:
        return None
    if by == "speed":
        return max(fitting, key=lambda one: one.here)
    least = max(min(one.loss for one in fitting), 0.0)
    return min((one for one in fitting if one.loss <= least + SAME_LOSS), key=lambda one: one.size)


def nearest_miss(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one whose worst excess is the smallest; None where no file could be made."""
    made = [one for one in candidates if not one.failed]
    return min(made, key=lambda one: max(ratio for ratio, _ in one.over.values()), default=None)


def target_names() -> list[str]:
    return sorted(file.stem for file in resources.path("export", "targets").glob("*.yaml"))


def load_target(name: str) -> Target:
    """A target that ships with edgelm, or one described in a YAML file.

    Raises:
        BadInput: there is none of that name, or the file is wrong; with the field.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = resources.path("export", "targets", f"{name}.yaml")
        if name not in target_names():
            remedy = f"{instead_of(name, target_names())}; or name a YAML file"
            raise BadInput(f"unknown target '{name}'", remedy=remedy)
    return _read(path)


def _read(path: Path) -> Target:
    value = resources.read_yaml(path)
    lines = resources.yaml_lines(path)

    def error(problem: str, key: str, remedy: str) -> BadInput:
        return BadInput(problem, file=path, line=lines.get(key), remedy=remedy)

    device = (value.pop("device", None) or {}) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(device, dict):
        raise BadInput("does not describe a target", file=path, remedy="see export/README.md")
    given: dict[str, Any] = {"name": path.stem, **value, **device}
    known = {one.name: one for one in fields(Target)}
    if wrong := [key for key in given if key not in known]:
        raise error(f"unknown field '{wrong[0]}'", str(wrong[0]), f"known are: {', '.join(known)}")
    optional = ("bytes_per_second", "operations_per_second")
    if missing := [key for key in known if key not in given and key not in optional]:
        raise BadInput(f"the field '{missing[0]}' is missing", file=path, remedy="add it")
    for key, said in given.items():
        if key in ("formats", "choose"):
            continue
        if key in ("name", "about"):
            if not isinstance(said, str):
                raise error(f"{key} {said!r} is no text", key, "put it in quotes")
            continue
        number = isinstance(said, int | float) and not isinstance(said, bool)
        if not number or not (said > 0 or (key == "threads" and said == 0)):
            raise error(f"{key} {said!r} is no number above 0", key, "write one, as 0.5 or 8")
    if given["choose"] not in get_args(Choice):
        raise error(f"choose {given['choose']!r}", "choose", "choose 'quality' or 'speed'")
    formats = given["formats"]
    if not isinstance(formats, list) or not formats or not all(isinstance(one, str) for one in formats):
        raise error("formats is no list", "formats", "write as in: [gguf:Q8_0, onnx:int8]")
    for one in formats:
        if one not in bounds() or one.startswith("lora:"):
            written = [name for name in bounds() if not name.startswith("lora:")]
            raise error(f"unknown format '{one}'", "formats", instead_of(one, written))
    return Target(**{**given, "threads": int(given["threads"]), "formats": tuple(dict.fromkeys(formats))})
