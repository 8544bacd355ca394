import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.corpus.c4 import NAMES, clean, columns
from edgelm.corpus.sentences import sentences

LINE = "Umfana uyahamba namhlanje."
MARKS = ("[", "]", "[]", "[12]", "[٣]", "[²]", "[edit]", "[citation needed]", "{", "\ud800", "🙂", "x" * 400)
PHRASES = ("JavaScript", "use CooKies", "lorem ipsum", "a b c", "Yebo. ")
TROUBLE = (*"\n\r\x85\u2028 ", "\n\n", "\r\n", "  ", *MARKS, *PHRASES)
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(TROUBLE))).map("".join)
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


def decide(text: str) -> tuple[int, ...]:
    found = columns([text])
    assert all(found[name].dtype == np.int32 for name in NAMES)
    return tuple(found[name][0].item() for name in NAMES)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (LINE, LINE),
        (f"\n {LINE}\t\n\n{LINE} ", f"{LINE}\n{LINE}"),
        (f"{LINE}\r\n{LINE}\u2028{LINE}", "\n".join([LINE] * 3)),
        (f"{LINE}\r{LINE}", f"{LINE}\n{LINE}"),
        (f"Ikhaya lethu\n{LINE}\nHamba", LINE),  # fewer than three words
        (f"a b {'c' * 1000}\na b {'c' * 1001}", f"a b {'c' * 1000}"),
        # marks go, the blank before them stays; a line's words are counted before its marks go
        ("[1]Umfana[23] uya [edit]hamba [citation needed]", "Umfana uya hamba"),
        ("[] ke[x] [Edit] [1 2] [12", "ke[x] [Edit] [1 2] [12"),
        ("a b [3]\nc d e", "a b \nc d e"),
        ("a b c\n[1] [2] [3]\nd e f", "a b c\n  \nd e f"),
        ("[[1]] [²] [٣] n", "[] [²]  n"),  # ² is no decimal digit, ٣ is
        (f"{LINE}\nNika amandla i-JAVASCRIPT yakho", LINE),
        (f"{LINE}\nFunda i-Privacy Policy yethu\nThis site uses cooKies", LINE),  # with the Kelvin sign
        (f"{LINE}\nuse\ncookies as you like", f"{LINE}\ncookies as you like"),
        ("Ikhaya lethu", ""),
        ("", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean([text]) == [cleaned]


def test_a_text_that_nothing_is_taken_from_is_the_same_object() -> None:
    text = f"{LINE}\n{LINE} 🙂𠀀"
    assert clean([text])[0] is text


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        (LINE, (0, 0, 1)),
        (f"{LINE} {LINE}\n{LINE}", (0, 0, 3)),
        (f"{LINE}\nHamba. Buya.", (0, 0, 1)),  # two words: the second line goes, with its two sentences
        ("Hamba.[1] Buya.[2] Yebo.[3]", (0, 0, 3)),
        ("Hamba nawe kakhulu. [1]", (0, 0, 1)),
        ("Hamba nawe kakhulu.  [1]", (0, 0, 2)),  # white space is left behind the mark, more than a blank
        ("Amagama a- Lorem Ipsum.", (1, 0, 1)),
        ("Amagama a- { lapha.", (0, 1, 1)),
        (
            "lorem ipsum {\n{ a b",
            (1, 0, 2),
        ),  # only what comes first counts, and the phrase before the bracket
        ("{ a b\nlorem ipsum dolor", (0, 1, 2)),
        ("a {\nc d e", (0, 0, 1)),  # not in a line that is too short anyway
        ("a b javascript {", (0, 0, 0)),  # nor in one with a script
        ("a b privacy policy {", (0, 1, 0)),  # but in one about policies
        ("lorem ipsum javascript", (1, 0, 1)),
        ("", (0, 0, 0)),
    ],
)
def test_columns(text: str, decision: tuple[int, ...]) -> None:
    assert decide(text) == decision


@settings(deadline=None)  # the first example may compile
@given(ANY)
def test_cleaning_follows_its_definition(text: str) -> None:
    lines, ruled_out, count = [], "", 0
    for line in text.splitlines():
        words = line.split()
        line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", line.strip())
        if len(words) < 3 or max(map(len, words)) > 1000:
            continue
        if "lorem ipsum" in line.lower():
            ruled_out = ruled_out or "lorem"
        elif "javascript" in line.lower():
            continue
        elif "{" in line:
            ruled_out = ruled_out or "curly"
        if any(phrase in line.lower() for phrase in POLICIES) and "lorem ipsum" not in line.lower():
            continue
        count += int(sentences([line])[0])
        lines.append(line)
    assert clean([text]) == ["\n".join(lines).strip()]
    assert decide(text) == (ruled_out == "lorem", ruled_out == "curly", count)


@settings(deadline=None)  # the first example may compile
@given(st.lists(ANY, max_size=4))
def test_a_batch_is_cleaned_as_its_texts_are(texts: list[str]) -> None:
    assert clean(texts) == [clean([text])[0] for text in texts]
    assert np.transpose([columns(texts)[name] for name in NAMES]).tolist() == [
        list(decide(text)) for text in texts
    ]
