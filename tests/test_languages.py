import string
import unicodedata
from pathlib import Path

import pytest

from edgelm.errors import BadInput
from edgelm.languages import find_language, get_language, language_of_path, load_languages

BCP47 = {
    "afr": "af", "eng": "en", "nbl": "nr", "nso": "nso", "sot": "st", "ssw": "ss",
    "tsn": "tn", "tso": "ts", "ven": "ve", "xho": "xh", "zul": "zu",
}  # fmt: skip

# A language that does not exist, under a code for private use.
MADE_UP = """\
code: qaa
bcp47: qaa
name: Shoreish
autonym: Ñaru
family: Island
writing: conjunctive
alphabet: abcdefghijklmnñopqrstuvwxyz
aliases: [qaa_Latn, old shoreish]
prompt: Ñaru lamo keti
"""


@pytest.fixture(autouse=True)
def _no_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGELM_LANGUAGES", raising=False)


def write(folder: Path, text: str = MADE_UP, name: str = "qaa.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_all_eleven_are_there() -> None:
    assert {code: language.bcp47 for code, language in load_languages().items()} == BCP47


@pytest.mark.parametrize("code", sorted(BCP47))
def test_shipped_file_is_in_correct_orthography(code: str) -> None:
    language = load_languages()[code]
    assert language.alphabet == unicodedata.normalize("NFC", language.alphabet)
    assert set(string.ascii_lowercase) <= set(language.alphabet)
    assert len(set(language.alphabet)) == len(language.alphabet)
    assert set("".join(language.prompt.lower().split())) <= set(language.alphabet)
    assert 3 <= len(language.prompt.split()) <= 5
    assert language.family in {"Nguni", "Sotho-Tswana", "Tswa-Ronga", "Venda", "Germanic"}
    assert (language.writing == "conjunctive") == (language.family == "Nguni")
    assert (language.writing == "none") == (language.family == "Germanic")


@pytest.mark.parametrize(
    ("code", "letters"),
    [("ven", "ḓḽṅṋṱ"), ("nso", "šêô"), ("tsn", "šêô"), ("afr", "áäéèêëíïîóôöúûüý"), ("zul", "")],
)
def test_letters_beyond_a_to_z(code: str, letters: str) -> None:
    assert set(load_languages()[code].alphabet) - set(string.ascii_lowercase) == set(letters)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("zul", "zul"), ("ZUL", "zul"), ("zu", "zul"), ("zul_Latn", "zul"), ("zu-latn", "zul"),
        ("Northern Sotho", "nso"), ("northern-sotho", "nso"), ("Sesotho_sa_Leboa", "nso"), ("Sesotho", "sot"),
        ("isiZulu", "zul"), ("nr", "nbl"), ("isiNdebele", "nbl"), ("af-ZA", "afr"),
        ("Tshivenḓa", "ven"), (unicodedata.normalize("NFD", "Tshivenḓa"), "ven"),
    ],
)  # fmt: skip
def test_find_by_any_name(name: str, code: str) -> None:
    language = find_language(name)
    assert language is not None
    assert language.code == code


def test_every_name_in_a_file_finds_its_language() -> None:
    for code, language in load_languages().items():
        for name in (language.code, language.bcp47, language.name, language.autonym, *language.aliases):
            assert find_language(name) is language, name
        assert {f"{language.bcp47}_Latn", f"{code}_Latn"} <= set(language.aliases)


@pytest.mark.parametrize("name", ["", "zulu-land", "zz", "nde"])
def test_find_none(name: str) -> None:
    assert find_language(name) is None


def test_unknown_language_says_what_to_do() -> None:
    with pytest.raises(
        BadInput, match=r"nknown language 'sna', known: afr, .*zul\..* add one YAML file to .*EDGELM_"
    ):
        get_language("sna")
    assert get_language("zu").code == "zul"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("xho.jsonl.xz", "xho"), ("train.zul.txt", "zul"), ("news-xho.txt", "xho"), ("corpus.ven", "ven"),
        ("TSN_part_2.txt", "tsn"), ("zul_Latn.txt", "zul"), ("news-zu_Latn.txt", "zul"), ("af-ZA.tsv", "afr"),
        ("data/zul/part-1.txt", "zul"), ("data/zul_Latn/1.txt", "zul"), ("raw/xho-news/2020/a.txt", "xho"),
        ("zu.txt", "zul"), ("st.jsonl.gz", "sot"), ("data/nr/part-1.txt", "nbl"), ("data/zul", "zul"),
        ("Northern Sotho.txt", "nso"), ("northern_sotho/1.txt", "nso"), ("Tshivenḓa/1.txt", "ven"),
        ("zul/xho.txt", "xho"), ("zul/xho/part.txt", "xho"),
    ],
)  # fmt: skip
def test_language_of_path(path: str, code: str) -> None:
    language = language_of_path(Path(path))
    assert language is not None
    assert language.code == code


@pytest.mark.parametrize(
    "path",
    [
        "nr-12.txt", "nr.12", "nr.12.txt", "st-john.txt", "st.john.txt", "the_st_ives.txt", "ts-config.json",
        "ve-day.txt", "ss_1940.txt", "so.txt", "en-route.txt", "notes.en.md", "main.ts", "song.st",
        "data/st john/a.txt", "data/nr 5/a.txt", "tsonga-history.txt", "north_ndebele/a.txt", "engine/a.txt",
        "part-1.txt", "", "eng-zul.txt", "zul/eng-xho.txt",
    ],
)  # fmt: skip
def test_no_language_by_accident(path: str) -> None:
    assert language_of_path(path) is None


def test_one_yaml_file_adds_a_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "mine")
    assert find_language("qaa") is None
    languages = load_languages(folder)
    assert list(languages) == sorted([*BCP47, "qaa"])
    assert languages["qaa"].aliases == ("qaa_Latn", "old shoreish")
    assert get_language("ñaru", languages) is languages["qaa"]
    assert language_of_path("texts/qaa/1.txt", languages) is languages["qaa"]

    monkeypatch.setenv("EDGELM_LANGUAGES", str(folder))
    assert get_language("Old-Shoreish").code == "qaa"
    assert language_of_path("train.qaa.txt") == languages["qaa"]


def test_later_folder_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELM_LANGUAGES", str(write(tmp_path / "first")))
    second = write(tmp_path / "second", MADE_UP.replace("Shoreish", "Coastish"))
    assert load_languages()["qaa"].name == "Shoreish"
    assert load_languages(second)["qaa"].name == "Coastish"
    assert find_language("Shoreish", load_languages(second)) is None


def test_what_the_caller_changes_stays_with_the_caller() -> None:
    load_languages().clear()
    assert len(load_languages()) == 11


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("prompt: Ñaru lamo keti\n", "", r"missing key 'prompt'.*add a line"),
        ("prompt:", "script: Latn\nprompt:", r"unknown key 'script'.*remove it"),
        ("name: Shoreish", "name: 7", r"'name' holds a number, not text.*quotes"),
        ("bcp47: qaa", "bcp47: no", r"'bcp47' holds a truth value, not text.*quotes"),
        ("prompt: Ñaru lamo keti", "prompt:", r"'prompt' holds nothing"),
        ("prompt: Ñaru lamo keti", 'prompt: ""', r"'prompt' holds nothing"),
        ("[qaa_Latn, old shoreish]", "qaa_Latn", r"'aliases' is text.*list"),
        ("[qaa_Latn, old shoreish]", "[qaa_Latn, no]", r"'aliases' holds a truth value"),
        (
            "[qaa_Latn, old shoreish]",
            "[Isi-Zulu, zulu]",
            r"name 'zulu' already belongs to zul.*zul\.yaml.*remove",
        ),
        ("[qaa_Latn, old shoreish]", "[qaa_Latn, old", r", line \d+: .*not YAML.*correct that line"),
        ("code: qaa", "code: qaaa", r"'qaaa' is not an ISO 639-3 code.*three lower-case"),
        ("code: qaa", "code: qab", r"'qab' is not the name of the file.*agree"),
        ("writing: conjunctive", "writing: joined", r"writing 'joined'.*conjunctive, disjunctive, none"),
        ("mnñ", unicodedata.normalize("NFD", "mnñ"), r"alphabet is not lower-case NFC.*composed"),
        ("mnñ", "mnÑ", r"alphabet is not lower-case NFC"),
        (MADE_UP, "- qaa\n", r"not a mapping.*code, bcp47"),
        (MADE_UP, "", r"not a mapping"),
        ("Ñaru lamo", "\x07", r"not YAML"),
    ],
)
def test_malformed_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MADE_UP
    folder = write(tmp_path / "mine", MADE_UP.replace(old, new, 1))
    with pytest.raises(BadInput, match=f"(?i){message}") as raised:
        load_languages(folder)
    assert str(folder / "qaa.yaml") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_not_utf8(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "qaa.yaml").write_bytes(MADE_UP.encode("latin-1"))
    with pytest.raises(BadInput, match=r"qaa\.yaml: not UTF-8.*Save"):
        load_languages(folder)


def test_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELM_LANGUAGES", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match=r"nowhere: no such folder.*EDGELM_LANGUAGES"):
        load_languages()
