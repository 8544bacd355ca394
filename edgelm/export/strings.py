"""Strings that every runtime must cut into the same tokens: text, and in it what tokenizers trip over."""

import random
from collections.abc import Sequence

TRICKY = (
    "2026-11-22, R1 234,50 no 07:30",
    "š ḓ ḽ ṅ ṋ ṱ ê ô ë",
    "e\u0301 o\u0302 a\u0308 \u1e13\u0301",
    "👩🏾‍🌾 🇿🇦 ½ ﬁ 漢字 العربية",
    "<|eos|> <|user|> </s> [INST]",
    "  two  spaces\n\nand\ttabs  ",
    "a" * 300,
    "uku-" * 60 + "ngenakwenzeka",
)
MARKS = "\u0300\u0301\u0302\u0303\u0304\u0307\u0308\u030c\u0323\u0324\u0327\u032d\u0331"
LETTERS = "šŠḓḒḽḼṅṄṋṊṱṰêÊôÔëïúéâǃǀǁǂŋɓß"
SYMBOLS = "👍 👩🏾‍🌾 🇿🇦 … “ ” ’ — № € ½ ² \u00a0 \u200b \u200d \u00ad".split(" ")
OTHER = ("漢字", "العربية", "हिन्दी", "ไทย", "Ελλάδα", "Привет", "אבג", "١٢٣", "Ⅳ", "ﬁ", "𝔘𝔫𝔦", "\ufeff")
NUMBERS = ("R1 234,50", "07:30", "2026-11-22", "3.14", "1,000,000", "50%", "#1", "+27 82 555 0100")
SPACES = ("  ", "\n", "\n\n", "\t", "\r\n", " \n ", "   ")


def hard_strings(documents: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """So many strings of 1 to 12 words of the documents, most of them changed in one to three places."""
    draw = random.Random(seed)
    words = [document.split(" ") for document in documents if document]
    found = []
    for _ in range(count if words else 0):
        own = draw.choice(words)
        start = draw.randrange(len(own))
        text = " ".join(own[start : start + draw.randint(1, 12)])
        for _ in range(draw.choice((0, 1, 1, 2, 3))):
            place = draw.randint(0, len(text))
            text = text[:place] + _oddity(draw) + text[place:]
        found.append(draw.choice((str, str, str, str.upper, str.title))(text))
    return found


def _oddity(draw: random.Random) -> str:
    kind = draw.randrange(8)
    if kind == 0:
        return "".join(draw.choice("0123456789") for _ in range(draw.randint(1, 12)))
    if kind == 1:
        return draw.choice(
            ("R1 234,50", "07:30", "2026-11-22", "3.14", "1,000,000", "50%", "#1", "+27 82 555 0100")
        )
    if kind == 2:
        return draw.choice(MARKS) * draw.randint(1, 3)
    if kind == 3:
        return "".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 6)))
    if kind == 4:
        return draw.choice(SYMBOLS)
    if kind == 5:
        return draw.choice(OTHER)
    if kind == 6:
        return draw.choice(SPACES)
    return draw.choice(("uku", "nga", "a", "ndza", "š", "-", "'", "=")) * draw.randint(10, 80)
