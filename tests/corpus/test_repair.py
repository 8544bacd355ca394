import json
import lzma
import os
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ftfy", reason="texts are repaired with the extra 'corpus'")

from edgelm.corpus.repair import COLUMNS, Repairs, normalise, repair, repair_text
from edgelm.languages import load_languages

# any code point, with pieces that may meet to make mojibake, entities, broken words and joined sentences
TROUBLE = [
    *"\ud800\udfff\u200b\ufeff\ufffd\x00\x0b\x0c\x1c\x85\xa0\r\n\t \u2028\u3000\u0323\u0302ḓâⒶ½²\u00ad",
    *"-.!?”;#&ÃâÂá¹ï»¿€™œ\x80\x99\x9d\x92\uf0b7ﬁﬃŉṱÐ√‚",
    *(
        "&amp;",
        "&lt",
        "&#894;",
        "&#8490;",
        "amp;",
        "www.",
        "://",
        "ab.Cd",
        "lwethu.Seku",
        "ab-\ncd",
        *("<b>", "</ref>", "<br/>", "[[", "]]", "|", "[1]", "&gt", "'''", "__TOC__", "(", " ,", ")."),
        "a" * 45,
    ),
]
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(TROUBLE))).map("".join)
NOTHING = Repairs(mojibake=False, entities=False, markup=False, hyphens=False, joins=False)
LETTERS = "".join(
    sorted({letter for one in load_languages().values() for letter in one.alphabet if letter.isalpha()})
)


def count(text: str) -> dict[str, int]:
    return {name: number for name, number in zip(COLUMNS, repair_text(text)[1], strict=True) if number}


@given(ANY)
def test_repair_is_idempotent_and_gives_plain_nfc(text: str) -> None:
    repaired, _ = repair_text(text)
    assert repair_text(repaired) == (repaired, (0,) * len(COLUMNS))
    assert normalise(repaired) == repaired
    assert unicodedata.is_normalized("NFC", repaired)
    assert not any(unicodedata.category(one) in ("Cc", "Cs") and one != "\n" for one in repaired)
    assert "  " not in repaired
    assert "\n\n" not in repaired
    repaired.encode("utf-8")


@given(ANY)
def test_normalise_loses_no_letter_and_joins_no_words(text: str) -> None:
    words = [normalise(word) for word in text.split()]
    assert normalise(text).split() == [word for word in words if word]
    # decomposed, as a letter and an accent may meet where a control character stood between them
    before, after = (unicodedata.normalize("NFD", one) for one in (text, normalise(text)))
    assert [one for one in after if one.isalnum()] == [one for one in before if one.isalnum()]
    assert repair_text(text, NOTHING)[0] == normalise(text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "“", "‘", "'", "(", "«\xa0", "„"]),
            st.text(LETTERS, min_size=1, max_size=9),
            st.sampled_from(["", "”", "’", "',", "”,", "-", "’n", "…", " –", ". ", "š", "™"]),
        ).map("".join)
    ).map(" ".join)
)
def test_what_the_languages_write_is_left_alone(text: str) -> None:
    """No letter, quote or hyphen of theirs is taken for damage, whatever stands beside it."""
    text = normalise(text)
    assert repair_text(text) == (text, (0,) * len(COLUMNS))


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("  two  spaces\t\xa0here \r\n\r\n next \n", "two spaces here\nnext"),
        ("two  spaces", "two spaces"),
        ("d\u032di\x00na\u200b", "ḓina"),
        ("e\u0302 o\u0308", "ê ö"),
        ("a\ud83d b", "a b"),
        ("page one\x0cpage two", "page one page two"),
        ("one\rtwo", "one\ntwo"),
        ("", ""),
    ],
)
def test_normalise(text: str, repaired: str) -> None:
    assert normalise(text) == repaired


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("xinâ\x80\x99wana", "xin’wana"),
        ("we begin as â€™n Duitsertjie", "we begin as ’n Duitsertjie"),
        ("129 386 kmÂ².", "129 386 km²."),
        ("MosotÅ¡ho le tÅ¡ona", "Mosotšho le tšona"),
        ("uá¹±anganedza", "uṱanganedza"),
        ("á¸“ivhuwa", "ḓivhuwa"),
        ("á¸\x93ivhuwa", "ḓivhuwa"),
        ("n\x92wana", "n’wana"),
        ("unâ\x80\x99wana \x9f lefelo", "un’wana lefelo"),
        ("Ã\x00©", "é"),
        ("\uf0b7 Setšhaba", "• Setšhaba"),
        ("\uf03dMafelo", "Mafelo"),
        ("go ﬁ tlhelwa ka oﬃ si", "go fitlhelwa ka offisi"),
        ("Wiﬁ e, ipﬁ a", "Wifi e, ipfi a"),
    ],
)
def test_mojibake(text: str, repaired: str) -> None:
    assert repair_text(text)[0] == repaired
    assert count(text)["repaired_mojibake"] == 1 + (text.count("Å") > 1) + text.count("ﬃ") + ("ipﬁ" in text)
    assert repair_text(text, Repairs(mojibake=False))[0] != repaired


@pytest.mark.parametrize(
    "text",
    [
        "Ndi ṱhompho ya ḽifhasi ḓoroboni na ṋaṅaṅa",
        "ditšhaba tša gêšo, kgôrô ya bômo",
        "hê, môre sê ŉ mens: “Ek reën, geëet, oë”",
        "« C’est l’été », dit-il — «à Noël»…",
        "‘n “sê” ’n ‚lae‘ „hoë“ ë’s ô”",
        "Ünïcödé façade naïve São Paulo",
        "Россия — моя страна, Її ґанок",
    ],
)
def test_letters_with_signs_are_no_mojibake(text: str) -> None:
    assert repair_text(text) == (text, (0,) * len(COLUMNS))


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("A &amp; B &lt;x&gt; &quot;x&quot;", 'A & B <x> "x"'),
        ("lizwekazi.&nbsp;&gt;", "lizwekazi. >"),
        ("&amp;amp;nbsp;&amp;quot;", '"'),
        ("&#8217;n &#x161;", "’n š"),
        ("R&D; &copy &unknown; &#65;mp; & ;", "R&D; &copy &unknown; &#65;mp; & ;"),
        ("&l&#0;t;", "&l&#0;t;"),
    ],
)
def test_entities(text: str, repaired: str) -> None:
    assert repair_text(text)[0] == repaired
    kept = repair_text(text, Repairs(entities=False))
    assert kept[0] == normalise(text)


def test_entities_are_counted() -> None:
    assert count("&amp;lt;x&gt; R&D;") == {"repaired_entities": 2}


LINE = "Die leer wat hy gisteroggend in Kaapstad gekoop het, is die "


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (LINE + "leer-\nband", LINE + "leerband"),
        (LINE + "leer- \r\n band. Hy het\ndit.", LINE + "leerband.\nHy het\ndit."),
        (LINE + "skoen-\nband- en veter", LINE + "skoen-\nband- en veter"),
        ("leer-\nband", "leer-\nband"),  # a short line is not broken for want of room
        (LINE + "ama-\nawa", LINE + "ama-\nawa"),
        (LINE + "leer-\nBand", LINE + "leer-\nBand"),
        (LINE + "HIV-\npositief", LINE + "HIV-\npositief"),
        (LINE + "2010-\nband", LINE + "2010-\nband"),
        (LINE + "leer-band", LINE + "leer-band"),
        ("profes\u00adsor, vol\u00ad\ngende \u00ad", "professor, volgende \u00ad"),
    ],
)
def test_hyphens_at_the_end_of_a_line(text: str, repaired: str) -> None:
    assert repair_text(text)[0] == repaired
    assert (count(text).get("repaired_hyphens", 0) > 0) == (repaired != normalise(text))


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("kwabantu lwethu.Sekungaphezu", "kwabantu lwethu. Sekungaphezu"),
        ("kwabantu?Impendulo!Ewe", "kwabantu? Impendulo! Ewe"),
        ("nempumelelo.”Uqhube (kakhulu.)Ngoku", "nempumelelo.” Uqhube (kakhulu.) Ngoku"),
        ("tša bona.Šo wena", "tša bona. Šo wena"),
        ("Modise,Sihlalo", "Modise, Sihlalo"),
        ("(GBV).Angeze 4%.Ngoba", "(GBV). Angeze 4%. Ngoba"),
        ("ngo-1912.Njengobe ANC.Sithi", "ngo-1912. Njengobe ANC. Sithi"),
        ("“ntwa”.Re ‘ntwa’.Le", "“ntwa”. Re ‘ntwa’. Le"),
        ("verminder.“Ons sê", "verminder. “Ons sê"),
    ],
)
def test_joined_sentences(text: str, repaired: str) -> None:
    assert repair_text(text)[0] == repaired
    assert count(text) == {"repaired_joins": len(repaired) - len(text)}
    assert repair_text(text, Repairs(joins=False))[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "U.S.A. le U.S.a",
        "README.Md, ifoto.Jpg",
        "J.Zuma A.B.Xuma",
        "www.Gov.za WWW.Nedbank.Co.Za",
        "https://tlhalo.org/Puo.Setswana",
        "thabo.Nkosi@thuto.gov.za",
        "com.sun.star.sdb.Command",
        "lwethu.sekungaphezu",
        "lwethu.šekungaphezu",
        "lwethu. Sekungaphezu",
        "lweTHu.Sekungaphezu",
        "README.Net, NASA.Gov",
        "MODISE,Sihlalo lwethu,SIHLALO",
        "„Ons gaan.“Ja",
        "lwethu.SEKUNGAPHEZU",
        "a,Kulo 2,Kulo ku,K",
        "thabo,Nkosi@thuto.gov.za",
    ],
)
def test_addresses_names_and_initials_are_not_parted(text: str) -> None:
    assert repair_text(text) == (text, (0,) * len(COLUMNS))


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("Uma udinga ulwazi , sicela ubuze .", "Uma udinga ulwazi, sicela ubuze."),
        ("Ubani ? Yena ( uThabo ) : hhayi ; cha !", "Ubani? Yena (uThabo): hhayi; cha!"),
        ('Wathi " hamba " .\nWahamba . 14 . Phela', 'Wathi " hamba ".\nWahamba. 14. Phela'),
        ("Wathi ... wahamba .", "Wathi ... wahamba."),
    ],
)
def test_punctuation_set_apart(text: str, repaired: str) -> None:
    assert repair_text(text)[0] == repaired
    assert count(text) == {"repaired_joins": len(text) - len(repaired)}
    assert repair_text(text, Repairs(joins=False))[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "Uma udinga ulwazi , sicela ubuze.",  # elsewhere in the text it is not set apart
        "Ubani : yena ; cha )",
        "wena .gov .za .5 ,5",
        "Wathi ... wahamba …",
        ". , ! ?",
    ],
)
def test_a_blank_that_may_be_meant_stays(text: str) -> None:
    assert repair_text(text) == (text, (0,) * len(COLUMNS))


def test_repair_counts_each_text_of_a_batch() -> None:
    texts, counts = repair(["a\x00\x01", "e\u0302 x o\u0308", "plain", "lwethu.Seku ï\x82§"])
    assert texts == ["a", "ê x ö", "plain", "lwethu. Seku •"]
    assert {name: column.tolist() for name, column in counts.items()} == {
        "repaired_mojibake": [0, 0, 0, 2],  # first to the private area, then to a bullet
        "repaired_entities": [0, 0, 0, 0],
        "repaired_markup": [0, 0, 0, 0],
        "repaired_unicode": [0, 2, 0, 0],
        "repaired_control": [2, 0, 0, 0],
        "repaired_hyphens": [0, 0, 0, 0],
        "repaired_joins": [0, 0, 0, 1],
    }
    assert all(column.dtype == np.int32 for column in counts.values())
    assert repair([])[1]["repaired_joins"].shape == (0,)


@pytest.mark.parametrize(
    "piece", ["&amp;", "&", "Ã©", "Ã", "ab.Cd", "ab-\ncd", " \n", "&#0;", "a\u0301", "x" * 70 + "@", "ï»¿"]
)
def test_repair_takes_linear_time(piece: str) -> None:
    start = time.process_time()
    repair_text(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 5


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder of real text")
def test_real_stories_need_no_repair_but_blanks() -> None:
    """Clean text of all languages: nothing but blanks after full stops is changed."""
    files = sorted(Path(os.environ["EDGELM_DATA"]).glob("raw/asp_african_storybook/*.jsonl.xz"))
    assert files
    for file in files:
        with lzma.open(file, "rt", encoding="utf-8") as stream:
            texts = [json.loads(line)["text"] for line in stream]
        repaired, counts = repair(texts)
        changed = {name for name, column in counts.items() if column.any()}
        assert changed <= {"repaired_joins"}, file
        assert ["".join(text.split()) for text in texts] == ["".join(text.split()) for text in repaired]
