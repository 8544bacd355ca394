import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm import resources
from edgelm.corpus import c4, fineweb, gopher
from edgelm.corpus.datatrove import COUNTS, NAMES, measure

TROUBLE = (
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "[1]",
    "{",
    "a b c",
    "Yebo. ",
    "#",
    "...",
    "- ",
    "\ud800",
    "🙂",
    "use cookies",
)
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(TROUBLE))).map("".join)
RULES = yaml.safe_load(resources.path("corpus", "recipes", "mzansitext.yaml").read_text("utf-8"))["filters"]
WORDS = "Umfana uyahamba namhlanje ekuseni ukuyosebenza edolobheni elikhulu kakhulu nabangani bakhe abathathu"
OTHER = "Intombazane ibuyela ekhaya ntambama ihlangane nomama wayo osebenza esibhedlela esikhulu eduze"
PAIRS = list(zip(WORDS.split(), OTHER.split(), strict=True))
THREES = "\n".join(f"{one} na {two}" for one, two in PAIRS)
ONE_A_LINE = f"{WORDS} {OTHER}".replace(" ", "\n")
NUMBERS = " ".join(str(12345 + 379 * number) for number in range(12))
GOOD = f"{WORDS}.\n{OTHER}."


def reason(text: str) -> str | None:
    """The first rule of the recipe that the text breaks."""
    found, _ = measure([text])
    for rule in RULES:
        value = found[rule["column"]][0]
        if not rule.get("min", -np.inf) <= value <= rule.get("max", np.inf):
            return str(rule["reason"])
    return None


def test_every_rule_has_a_column_and_every_column_a_rule() -> None:
    assert {rule["column"] for rule in RULES} == set(NAMES)
    assert set(measure([GOOD])[0]) == set(NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, None),
        ("\n\n".join([WORDS] * 3), "dup_para_frac"),  # 2 of 3 repeat
        ("\n\n".join(["a", WORDS, WORDS, "b", WORDS]), "dup_para_char_frac"),  # 2 of 5, but 2/3 of the text
        ("\n".join([WORDS] * 3), "dup_line_frac"),
        ("\n".join(["a", WORDS, WORDS, "b", WORDS]), "dup_line_char_frac"),
        ("Hamba kahle", "top_2_gram"),  # the commonest pair is the whole text
        ("Hamba kahle baba", "top_3_gram"),
        ("Hamba wadla izolo umama", "top_4_gram"),
        (f"{WORDS} {WORDS}", "duplicated_5_n_grams"),  # two of eleven words, and not of twelve
        ("Umfana uyahamba namhlanje. Intombazane ibuyela ekhaya.", "gopher_short_doc"),
        ("na le ke ba ya fa we mo go ka se pi. lo su ti ru ha bo", "gopher_below_avg_threshold"),
        (WORDS.replace(" ", "kakhulukazi ") + ". Yebo.", "gopher_above_avg_threshold"),
        (WORDS.replace("nam", "# nam").replace("edo", "# edo") + ". Yebo.", "gopher_too_many_hashes"),
        (WORDS.replace(" nam", "… nam").replace(" edo", "… edo") + ". Yebo.", "gopher_too_many_ellipsis"),
        (f"- {WORDS}.\n• {OTHER}.", "gopher_too_many_bullets"),
        (f"{WORDS}.\n{OTHER}...", "gopher_too_many_end_ellipsis"),
        (f"{NUMBERS}. Yebo.", "gopher_below_alpha_threshold"),
        (f"{WORDS} lorem ipsum. {OTHER}.", "lorem_ipsum"),
        (f"{WORDS} {{ {OTHER}.", "curly_bracket"),
        (f"{WORDS} {OTHER}.", "too_few_sentences"),
        (f"{ONE_A_LINE}\n[1] [2] [3]\n[4] [5] [6]", "empty"),  # two lines stay, of blanks only
        ("\n".join(f"{one}le {two}" for one, two in PAIRS * 5) + ".", "dup_line_frac"),
        (f"{THREES}.", "line_punct_ratio"),  # one of eleven lines ends in a full stop
        ("\n".join(f"{line[:26]}." for line in THREES.split("\n")), "short_line_ratio"),
        (f"{GOOD}\nYini le ntombi? Yebo.\n{NUMBERS}.\nYini le ntombi? Yebo.", "char_dup_ratio"),
        (THREES.replace(" ", "nkosi "), "list_ratio"),
    ],
)  # fmt: skip
def test_the_recipe_gives_datatrove_s_reason(text: str, expected: str | None) -> None:
    assert reason(text) == expected


def test_tokens_are_those_of_the_cleaned_text() -> None:
    # "a b  c" and "d e f", without the marks of three tokens and the line of two words
    found, cleaned = measure(["a b [1] c\nx y\nd e f"])
    assert cleaned == ["a b  c\nd e f"]
    assert found["fineweb_newlines"][0] == np.float32(1 / 6)


@settings(deadline=None)  # the first example may compile
@given(st.lists(ANY, max_size=4))
def test_one_pass_measures_what_the_parts_do(texts: list[str]) -> None:
    found, cleaned = measure(texts)
    assert cleaned == c4.clean(texts)
    parts = gopher.repetition(texts) | gopher.quality(texts) | c4.columns(texts) | fineweb.columns(cleaned)
    assert tuple(found) == NAMES == tuple(parts)
    for name, values in parts.items():
        assert values.tolist() == found[name].tolist(), name
        assert found[name].dtype == (np.int32 if name in COUNTS else np.float32)
