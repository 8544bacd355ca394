"""Mend what extraction and encoding broke in a text, and say how much of each was mended.

`normalise` is the part that every text needs: NFC, no control characters, plain blanks. `repair` also undoes
mojibake, HTML entities and markup, joins words split by a hyphen at the end of a line, and parts sentences
that lost the blank between them. It looks at one document at a time; for words broken inside a line, which
need the whole corpus, see `edgelm.corpus.hyphens` and `edgelm.corpus.blanks`.
"""

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgelm.corpus.markup import strip_markup
from edgelm.extras import require

COLUMNS = (
    "repaired_mojibake",
    "repaired_entities",
    "repaired_markup",
    "repaired_unicode",
    "repaired_control",
    "repaired_hyphens",
    "repaired_joins",
)
ROUNDS = 8  # one repair may uncover another; no text but a hostile one needs more than three

# not what is blank, such as a form feed between pages; but half surrogate pairs, which UTF-8 cannot hold
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufffd\ud800-\udfff]")
UNUSUAL = re.compile(rf"[^\S\n ]|{CONTROL.pattern}")
USUAL = bytes(range(32, 127)) + b"\n"
BLANKS = re.compile(r"[^\S\n ][^\S\n]*| [^\S\n]+")  # any run of blanks but one plain space
NEWLINES = re.compile(r"\s*\n\s*")

# the first bytes of UTF-8 followed by a later one, as Windows-1252, MacRoman and code page 437 show them
LATER = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
SUSPECT = re.compile(rf"[Â-ô√‚├┬ΓРСа-я](?:[{LATER}]|(?<=[√‚├┬Γ].)[^\x00-\x7f])")
# ḓ ḽ ṅ ṋ ṱ and their like, which ftfy does not take for mojibake
DOTTED = re.compile(rf"á[¸¹º»][{LATER}]")
# Windows-1252 punctuation read as Latin-1, the Symbol font's bullets, printers' ligatures
ODD = re.compile(r"[\x91-\x97\uf020-\uf0ff\ufb00-\ufb04]")
# 'ﬁ nal' in PDF, but not Wi-Fi or Tshivenda words in -pfi
LIGATURE_BLANK = re.compile(r"(?<![Ww]i)(?<![Ww]i-)(?<!p)([ﬁﬂﬃﬄ]) (?=[a-zà-öø-ÿ])")
PLAIN = {
    **dict(zip(range(0x91, 0x98), "‘’“”•–—", strict=True)),
    **dict.fromkeys(range(0xF020, 0xF100), " "),
    **dict.fromkeys((0xF0A7, 0xF0B7, 0xF0D8, 0xF0FC), "•"),
    **dict(zip(range(0xFB00, 0xFB05), ("ff", "fi", "fl", "ffi", "ffl"), strict=True)),
}
ENTITY = re.compile(r"&(?:amp;)*(#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,30};)")
REACTIVE = re.compile(r"[A-Za-z0-9#;&]")  # what could make an entity of its neighbours

LETTER = r"[^\W\d_]"
SOFT_HYPHEN = re.compile(rf"\u00ad(?<={LETTER}.)\n?(?={LETTER})")
WRAPPED = range(40, 400)  # characters; shorter lines were not broken for want of room, longer ones not at all
JOIN = re.compile(rf"[.!?,](?=[”)]?“?{LETTER}{LETTER})(?<=(?:{LETTER}{LETTER}|.[0-9%)”\"’]).)[”)]?")
# as a tokeniser leaves them: `Sawubona , mngane ( wami ) .`
SPACED = re.compile(r" [.,?!](?=\s|$)(?<=[\w%)”\"’'] .)")
UNSPACED = re.compile(r"[.,;:?!)](?=\s|$)(?<=[^\W\d_].)")
BEFORE_STOP = re.compile(r" (?=[.,;:?!)](?:[\s.,;:?!)”\"]|$))(?<=\S )(?!\.\.)")
AFTER_BRACKET = re.compile(r"(?<=\() (?=\S)")
WORD = re.compile(rf"{LETTER}+")
# not the start of a sentence but the end of an address or a file name
ENDINGS = frozenset(
    "aspx avi com csv doc docx edu exe gif gov htm html info jpeg jpg json md mobi net odt org pdf php png "
    "ppt py sh sql tif txt wav www xls xlsx xml za zip".split()
)
ADDRESS = re.compile(r"(?i:://|www\.)|[@\\=]|\w\.[a-z]")
REACH = 80  # characters looked at on either side
VOWELS = frozenset("aeiouêôéáèëïöüAEIOU")


@dataclass(frozen=True, slots=True)
class Repairs:
    """Which repairs to make; what `normalise` does is always done.

    Attributes:
        mojibake: text decoded with the wrong encoding, Symbol-font bullets and printers' ligatures.
        entities: `&nbsp;`, `&#8217;` and the like, complete with their semicolon.
        markup: tags of HTML, links and references of MediaWiki, numbers of footnotes.
        hyphens: soft hyphens, and hyphens at the end of a wrapped line.
        joins: sentences joined by a lost blank, and punctuation parted from its word by one.
    """

    mojibake: bool = True
    entities: bool = True
    markup: bool = True
    hyphens: bool = True
    joins: bool = True


def normalise(text: str) -> str:
    """NFC, without control characters and with plain blanks; the lines stay. Idempotent."""
    return _normalise(text)[0]


def repair(texts: Sequence[str], repairs: Repairs = Repairs()) -> tuple[list[str], dict[str, np.ndarray]]:
    """Repaired texts, and for each of `COLUMNS` how many were mended in each text, int32 of shape [texts]."""
    pairs = [repair_text(text, repairs) for text in texts]
    counts = np.array([counted for _, counted in pairs], dtype=np.int32).reshape(len(pairs), len(COLUMNS))
    return [text for text, _ in pairs], {name: counts[:, at].copy() for at, name in enumerate(COLUMNS)}


def repair_text(text: str, repairs: Repairs = Repairs()) -> tuple[str, tuple[int, ...]]:
    """One repaired text and how many of each of `COLUMNS` were mended. Idempotent.

    Mojibake is undone by ftfy, line by line, where two neighbouring characters look like one of UTF-8;
    quotes and widths stay as they are. Counted are pieces of mojibake, entities, pieces of markup,
    words not in NFC, control characters dropped, hyphens removed, and blanks put between sentences or taken
    from punctuation.
    """
    mojibake = entities = markup = unicode = control = hyphens = joins = 0
    for _ in range(ROUNDS):
        before = text
        if repairs.entities and "&" in text:
            text, found = _unescape(text)
            entities += found
        stripped = 0
        if repairs.markup:
            text, stripped = strip_markup(text)
            markup += stripped
        if repairs.mojibake and not text.isascii():
            text, found = _undo_mojibake(text)
            mojibake += found
        text, dropped, composed = _normalise(text)
        control += dropped
        unicode += composed
        if repairs.hyphens:
            text, found = _mend_line_ends(text)
            hyphens += found
        if repairs.joins:
            text, found = _part_sentences(text)
            text, tightened = _tighten(text)
            joins += found + tightened
        if text == before or (not stripped and text.isascii() and "&" not in text):
            break
    return text, (mojibake, entities, markup, unicode, control, hyphens, joins)


def in_address(text: str, position: int) -> bool:
    """Whether the unbroken run of characters around `position` looks like a web, mail or file address."""
    first, last = max(0, position - REACH), position + REACH
    if not ADDRESS.search(text, first, last):
        return False
    head, tail = text[first:position].split(), text[position:last].split()
    # both are of the run itself: callers stand inside it, so that neither side begins with a blank
    return ADDRESS.search((head[-1] if head else "") + (tail[0] if tail else "")) is not None


def _normalise(text: str) -> tuple[str, int, int]:
    """The normalised text, control characters dropped, words composed."""
    dropped = composed = 0
    if text.isascii():  # by bytes, ten times faster than by a pattern
        unusual = bool(text.encode().translate(None, USUAL))
    else:
        unusual = UNUSUAL.search(text) is not None
    if unusual:
        text, dropped = CONTROL.subn("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not unicodedata.is_normalized("NFC", text):
        words = text.split()
        text = unicodedata.normalize("NFC", text)
        composed = max(1, sum(a != b for a, b in zip(words, text.split(), strict=False)))
    if unusual or "  " in text:
        text = BLANKS.sub(" ", text)
    if "\n " in text or " \n" in text or "\n\n" in text:
        text = NEWLINES.sub("\n", text)
    return text.strip(), dropped, composed


def _unescape(text: str) -> tuple[str, int]:
    """HTML entities as the characters they stand for, however often they were escaped."""
    found = 0

    def character(match: re.Match[str]) -> str:
        nonlocal found
        entity = "&" + match[1]
        meant = html.unescape(entity)
        if REACTIVE.search(unicodedata.normalize("NFC", meant)) or CONTROL.search(meant):
            meant = entity if entity not in ("&amp;", "&AMP;") else "&"
        found += meant != match[0]
        return meant

    return ENTITY.sub(character, text), found


def _undo_mojibake(text: str) -> tuple[str, int]:
    """The text read with the encoding it was written in, and about how many characters that mended."""
    found = 0
    if SUSPECT.search(text):
        ftfy = require("ftfy", "corpus")
        config = ftfy.TextFixerConfig(fix_c1_controls=False, explain=False)
        lines = text.split("\n")
        for at, line in enumerate(lines):
            before = len(SUSPECT.findall(line))
            if before:
                lines[at] = ftfy.fix_encoding(DOTTED.sub(_letter, line), config)
                if lines[at] != line:
                    found += max(1, before - len(SUSPECT.findall(lines[at])))
        text = "\n".join(lines)
    if ODD.search(text):
        text = LIGATURE_BLANK.sub(r"\1", text)
        found += len(ODD.findall(text))
        text = text.translate(PLAIN)
    return text, found


def _letter(match: re.Match[str]) -> str:
    """The letter whose three bytes were read as Latin-1 or Windows-1252."""
    shown = match[0]
    return b"".join(one.encode("latin-1" if one < "\u0100" else "cp1252") for one in shown).decode()


def _mend_line_ends(text: str) -> tuple[str, int]:
    """Words without soft hyphens, and whole where a full line ended inside them."""
    found = 0
    if "\u00ad" in text:
        text, found = SOFT_HYPHEN.subn("", text)
    if "-\n" not in text and "\u2010\n" not in text:
        return text, found
    lines: list[str] = []
    for line in text.split("\n"):
        if lines and _goes_on(lines[-1], line):
            word, _, rest = line.partition(" ")
            lines[-1] = lines[-1][:-1] + word
            lines += [rest] if rest else []
            found += 1
        else:
            lines.append(line)
    return "\n".join(lines), found


def _goes_on(line: str, following: str) -> bool:
    """Whether a line is as long as a wrapped one and ends inside a word that the next line goes on with."""
    if not line.endswith(("-", "\u2010")) or len(line) not in WRAPPED:
        return False
    before, after = line[-4:-1], following[:2]
    letters = before.isalpha() and after.isalpha() and len(after) == 2
    if not (letters and before[1:].islower() and after.islower()):
        return False
    hangs = following.partition(" ")[0].endswith(("-", "\u2010"))  # `skoen-` before `en veter`
    return not hangs and not (before[-1] in VOWELS and after[0] in VOWELS)


def _part_sentences(text: str) -> tuple[str, int]:
    """A blank between a sentence, or a part of one, and the capitalised word after it, outside addresses."""
    pieces, end = [], 0
    for match in JOIN.finditer(text):
        at, after = match.span()
        first = after + (text[after] == "“")
        if not (text[first].isupper() and text[first + 1].islower()) or not _closes(text, at, first > after):
            continue
        word = WORD.match(text, first, first + REACH)
        if (word and word[0].lower() in ENDINGS) or in_address(text, at):
            continue
        pieces += [text[end:after], " "]
        end = after
    return "".join([*pieces, text[end:]]) if pieces else text, len(pieces) // 2


def _closes(text: str, at: int, quote: bool) -> bool:
    """Whether a stop or comma stands after a word in one case, a comma after a small letter, or a number."""
    if quote and "„" in text:  # where `“` closes
        return False
    if text[at] == ",":
        return text[at - 1].islower()
    word = text[at - 2 : at]
    return not word[1].isalpha() or word.islower() or word.isupper()


def _tighten(text: str) -> tuple[str, int]:
    """Punctuation without the blanks before it, where the whole text sets it apart."""
    if not any(one in text for one in (" .", " ,", " ?", " !")):  # by far the quickest way to know
        return text, 0
    if not SPACED.search(text) or UNSPACED.search(text):
        return text, 0
    text, before = BEFORE_STOP.subn("", text)
    text, after = AFTER_BRACKET.subn("", text) if "( " in text else (text, 0)
    return text, before + after
