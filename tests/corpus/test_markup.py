import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ftfy", reason="texts are repaired with the extra 'corpus'")

from edgelm.corpus.markup import strip_markup
from edgelm.corpus.repair import Repairs, repair_text

PIECES = (
    "<b>",
    "</b>",
    "<ref x=1>",
    "</ref>",
    "<br />",
    "<x>",
    "[[",
    "]]",
    "|",
    "[1]",
    "[25]",
    "'''",
    "__TOC__",
)
ANY = st.lists(
    st.one_of(st.sampled_from([*PIECES, "lo. ", "a", " ", "\n", "<", ">"]), st.characters(codec=None))
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("u<b>Thabo</b> no<i class='x'>Zodwa</i>", "uThabo noZodwa"),
        ("imini<br>yonke<BR/>nje<br />kanye", "imini\nyonke\nnje\nkanye"),
        ("ilanga.</small> Ngoba</p><p>nje", "ilanga. Ngoba\nnje"),
        ('laso.<ref name="Elsevier/Academic Press"></ref> I-EVD', "laso. I-EVD"),
        ("laso.<ref>Incwadi <i>yakhe</i>, 2010</ref> I-EVD<ref name=x /> ya", "laso. I-EVD ya"),
        ("wabo.<nowiki>[24]</nowiki> Ijaji", "wabo. Ijaji"),
        ("<templatestyles src='a/b.css' />Umuzi <!-- bheka --> wakhe", "Umuzi wakhe"),
        ("<style>a {b}</style>Umuzi", "Umuzi"),
        ("<id>2575</id>\n<timestamp>2019-07-21T07:30:40Z</timestamp>\nUmuzi", "Umuzi"),
        ("kunee[[WBCs|MGM]] nee[[micelle]]s, [[a | b]]", "kuneeMGM neemicelles, b"),
        ("[[File:Iteru.png|thumb|[[I-Hiero|ii-hiero]]]] Umuzi [[Kategorie:Mense]]", "Umuzi"),
        ("U'''Sarah Bernhardt''' wa", "USarah Bernhardt wa"),
        ("__NOEDITSECTION__Umuzi", "Umuzi"),
        ("Ushicilelo &gt IiNkcukacha&nbsp&nbspPRYS", "Ushicilelo > IiNkcukacha PRYS"),
        ("lwakhe.[2][3] Kwathi wathi,[4] yena.”[5]", "lwakhe. Kwathi wathi, yena.”"),
        ("ngo-2009. [131] [132] kakade, [16] phansi", "ngo-2009. kakade, phansi"),
        ("yakhe[11] kuthi.[12] Kwa", "yakhe kuthi. Kwa"),
        ("samaphaphu .[16] yonke..[17]", "samaphaphu. yonke.."),
        ("&lt;b&gt;Umuzi&lt;/b&gt;", "Umuzi"),
    ],
)
def test_markup_goes_and_words_stay(text: str, left: str) -> None:
    assert repair_text(text)[0] == left
    assert repair_text(text, Repairs(markup=False))[0] != left
    assert strip_markup(text)[1] or "&lt;" in text


@pytest.mark.parametrize(
    "text",
    [
        "<phone> <email> <id> <card> ku-<phone>",
        "a < b > c, x<y>z, -1 < NANI < 1, pH<7 no pH>7, <Vol297>",
        "UMTHAMO | < Icandelo Elingaphambili | Icandelo > nje",
        "Bhalelwe [2]. Inani [3] likhona. [2] KB ku[1] spasie",
        "ufonti[2]. Qinisekisa",
        "O ganetse tlhagiso e. [50] Kwalololo. [25]",
        "if [[ -f x ]; [[1, 2], [3]] x[1][2] = [a]",
        "''toestemming'' 'n '' wa __init__ __FILE__",
        "https://x.org/?a=1&gt=2&lt=3 R&D &copy",
        "[[ongavalwanga",
    ],
)
def test_what_only_looks_like_markup_stays(text: str) -> None:
    assert strip_markup(text) == (text, 0)


@given(ANY)
def test_no_word_outside_markup_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    left, found = strip_markup(text)
    assert (left == text) == (found == 0)
    rest = iter(text)
    assert all(one in rest or one in "\n" for one in left if one != "\n")
    if not set("<[_'&") & set(text):
        assert left == text


def test_markup_is_counted() -> None:
    assert strip_markup("<b>a</b> [[b]] '''c''' __TOC__ &gt d.[1][2] e")[1] == 7


PIECE = "< |<b |<b>|<ref>|<ref|</ref>|<id>|[[|]]|[[a][|[[a]]|[1]|a.[1]|. [1]|'''|__|<!--|aaa[1]|&gt".split(
    "|"
)


@pytest.mark.parametrize("piece", [*PIECE, "[[a|", "[[" * 99 + "a" + "]]" * 99, "<ref>" + "a" * 900])
def test_markup_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    repair_text(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 5
