import json
import os
import time
from collections import Counter

import pytest
from made_up_tasks import COMMON, MOOD, jsonl, line, write_task

from edgelm.tasks.check import SHOWN, check_task, leaked
from edgelm.tasks.task import load_task, task_names


def check(folder, contents, value=MOOD, /, **changes):
    return check_task(load_task(write_task(folder, contents, value, **changes)))


GOOD = {
    "zulu/train.jsonl": line("Ngiyajabula") + line("Ngidabukile", "sad"),
    "english/train.jsonl": line("I am glad") + line("I am sad", "sad"),
    "zulu/test.jsonl": line("Yebo"),
    "english/test.jsonl": line("Yes"),
}


def test_sound_data(tmp_path):
    found = check(tmp_path, GOOD)
    assert found.sound
    assert [*found.errors, *found.remarks, *found.absent, *found.duplicates, *found.leaks] == []
    assert found.counted["train", "zul"].labels == {"glad": 1, "sad": 1}
    assert sum(one.examples for one in found.counted.values()) == 6


def test_all_bad_lines_are_told_and_the_good_ones_counted(tmp_path):
    bad = line("a", "angry") + "{\n" + line("b") + line("") + line("c", "sad")
    found = check(tmp_path, GOOD | {"zulu/train.jsonl": bad})
    assert not found.sound
    assert [one.split(": ")[0].rsplit(" ", 1)[1] for one in found.errors] == ["1", "2", "4"]
    assert found.error_count == 3
    assert found.counted["train", "zul"].labels == {"glad": 1, "sad": 1}


@pytest.mark.parametrize("empty", ["", "\n\n"])
def test_a_file_without_examples_is_a_fault(tmp_path, empty):
    found = check(tmp_path, GOOD | {"zulu/test.jsonl": empty})
    assert not found.sound
    (error,) = found.errors
    assert error.startswith(str(tmp_path / "data" / "zulu" / "test.jsonl"))
    assert "holds no example. Fill it" in error


def test_bad_lines_are_bounded_by_file(tmp_path):
    many = line("a", "angry") * 50
    found = check(tmp_path, GOOD | {"zulu/train.jsonl": many, "english/train.jsonl": many})
    assert found.error_count == 100
    assert Counter("zulu" in one for one in found.errors) == {True: SHOWN, False: SHOWN}


def test_leaks_name_both_lines(tmp_path):
    found = check(
        tmp_path, GOOD | {"zulu/test.jsonl": line("Yebo") + line(" ngiyajabula ") + line("I am\tGLAD", "sad")}
    )
    assert not found.sound
    assert [
        (
            str(before.file.relative_to(tmp_path)),
            before.line,
            str(after.file.relative_to(tmp_path)),
            after.line,
        )
        for before, after in found.leaks
    ] == [
        ("data/zulu/train.jsonl", 1, "data/zulu/test.jsonl", 2),
        ("data/english/train.jsonl", 1, "data/zulu/test.jsonl", 3),
    ]
    assert found.counted["test", "zul"].leaked == {"train": 2}


def test_duplicates_and_disagreement_within_a_split(tmp_path):
    text = line("Yebo") + line("Cha", "sad") + line("yebo") + line("yebo", "sad")
    found = check(tmp_path, GOOD | {"zulu/train.jsonl": text, "zulu/test.jsonl": line("Hhayi")})
    assert [(before.line, after.line) for before, after in found.duplicates] == [(1, 3)]
    counted = found.counted["train", "zul"]
    assert (counted.examples, counted.duplicates, counted.disagreeing) == (4, 1, 1)
    assert found.sound, "odd, but nothing to mend"


def test_files_that_are_not_there(tmp_path):
    found = check(tmp_path, {name: text for name, text in GOOD.items() if name != "zulu/test.jsonl"})
    assert found.absent == [tmp_path / "data" / "zulu" / "test.jsonl"]
    assert found.sound
    assert ("test", "zul") not in found.counted
    (tmp_path / "none").mkdir()
    assert not check(tmp_path / "none", {}).sound


def test_a_label_that_is_only_held_out(tmp_path):
    found = check(
        tmp_path, GOOD | {"zulu/train.jsonl": line("Ngiyajabula"), "zulu/test.jsonl": line("x", "sad")}
    )
    assert found.remarks == ["mood: sad in test (zul), never in train."]


def test_oddities_of_tagged_text(tmp_path):
    text = "A B-DAY\nb I-DAY\n\nc I-DAY\nd O\n\nKÃ¶ln O\n\n O\ne B-DAY\nf B-DAY\ng I-RIVER\n"
    found = check(
        tmp_path,
        {"a.txt": text},
        COMMON
        | {
            "family": "tagging",
            "files": {"train": "a.txt"},
            "languages": {"zul": "x"},
            "scheme": "bio",
            "labels": ["DAY", "RIVER"],
        },
    )
    path = tmp_path / "data" / "a.txt"
    assert found.remarks == [
        f"{path}, line 9: a tag without a word. The line is left out.",
        f"{path}: a span without a beginning in 2 of its examples, at line 4, 10.",
        f"{path}: UTF-8 encoded twice in 1 of its examples, at line 7.",
    ]
    assert found.counted["train", "zul"].labels == {"DAY": 3}
    assert found.sound


def test_text_that_only_looks_encoded_twice(tmp_path):
    texts = ["Châteauneuf", "Ḓo ṱoḓa", "50 Â kg", "naïve façade", "ÄÖÜ", "São Paulo’s"]
    found = check(tmp_path, GOOD | {"zulu/train.jsonl": "".join(map(line, texts)) + line("a", "sad")})
    assert found.remarks == []
    found = check(tmp_path, GOOD | {"zulu/train.jsonl": line("donâ€™t") + line("SÃ£o", "sad")})
    assert "UTF-8 encoded twice in 2 of its examples, at line 1, 2." in found.remarks[0]


def test_translation_leaks_on_neither_side(tmp_path):
    pairs = [{"eng": f"Sentence {n // 3}", "zul": f"Umusho {n}"} for n in range(300)]
    found = check(
        tmp_path,
        {"eng-zul.jsonl": jsonl(*pairs)},
        COMMON
        | {
            "family": "generation",
            "files": "{pair}.jsonl",
            "languages": {"eng": "eng", "zul": "zul"},
            "pairs": ["eng-zul"],
        },
    )
    assert found.sound
    assert {split for split, _ in found.counted} == {"train", "validation", "test"}
    assert all(one.examples for one in found.counted.values())


def test_the_same_word_in_two_languages_is_no_duplicate(tmp_path):
    found = check(
        tmp_path,
        {
            "eng-xho.jsonl": jsonl({"eng": "Coffee", "xho": "Ikofi"}),
            "eng-zul.jsonl": jsonl({"eng": "Coffee", "zul": "Ikofi"}),
        },
        COMMON
        | {
            "family": "generation",
            "files": "{pair}.jsonl",
            "languages": {"eng": "eng", "xho": "xho", "zul": "zul"},
            "pairs": ["eng-xho", "eng-zul"],
        },
    )
    assert found.duplicates == []


def test_a_bad_pair_counts_once_though_both_directions_read_it(tmp_path):
    pairs = [{"eng": f"Sentence {n}", "zul": f"Umusho {n}"} for n in range(50)]
    found = check(
        tmp_path,
        {"eng-zul.jsonl": jsonl(*pairs, {"eng": "x", "zul": ""})},
        COMMON
        | {
            "family": "generation",
            "files": "{pair}.jsonl",
            "languages": {"eng": "eng", "zul": "zul"},
            "pairs": ["eng-zul"],
        },
    )
    assert found.error_count == 1


def test_the_record_is_json(tmp_path):
    found = check(tmp_path, GOOD | {"zulu/test.jsonl": line("Ngiyajabula") + line("x", "angry")})
    record = json.loads(json.dumps(found.record()))
    assert record["sound"] is False
    assert record["splits"]["test"]["zul"]["leaked"] == {"train": 1}
    assert record["leaks"][0][1]["line"] == 1
    assert record["error_count"] == len(record["errors"]) == 1


EXPECTED = {
    "masakhanews": {"train": 1032, "validation": 619, "test": 1245},
    "masakhaner": {"train": 15055, "validation": 2152},
    "masakhapos": {"train": 2259, "validation": 450},
    "nchlt_ner": {"train": 26081, "validation": 3727, "test": 7454},
    "nchlt_pos": {"train": 11368, "validation": 8},
    "injongo_intent": {"train": 8499, "validation": 960, "test": 2542},
    "afrisenti": {"train": 804, "validation": 203, "test": 254},
    "antc": {"train": 2961, "validation": 424, "test": 847},
    "dikgang": {"validation": 487, "test": 487},
    "t2x": {"train": 3859, "validation": 460},
    "afrihg": {"validation": 3082, "test": 3081},
}
LEAKS = {"afrihg": 1, "injongo_intent": 623, "masakhaner": 1, "nchlt_ner": 351, "nchlt_pos": 8, "t2x": 14}


@pytest.mark.skipif("EDGELM_DATA" not in os.environ, reason="EDGELM_DATA names no folder with labelled data")
@pytest.mark.parametrize("name", sorted(set(task_names()) - {"belebele", "afrixnli"}))
def test_every_line_of_the_real_sets_is_read(name):
    begun = time.process_time()
    found = check_task(load_task(name))
    assert found.errors == []
    assert len(found.leaks) == LEAKS.get(name, 0)
    count: Counter[str] = Counter()
    for (split, _), one in found.counted.items():
        count[split] += one.examples
    if name in EXPECTED:
        assert count == EXPECTED[name]
    assert time.process_time() - begun < 15, "seconds, not minutes"


def test_leaks_are_counted_by_language(tmp_path):
    files = {
        "zulu/train.jsonl": line("Yebo") + line("Cha", "sad"),
        "english/train.jsonl": line("Yes"),
        "zulu/dev.jsonl": line("Ngiyabonga") + line("yes"),
        "zulu/test.jsonl": line("YEBO ", "sad") + line("Sawubona") + line("cha") + line("Ngiyabonga"),
        "english/test.jsonl": line("No"),
    }
    names = {"train": "{language}/train.jsonl", "validation": "{language}/dev.jsonl"}
    task = load_task(write_task(tmp_path, files, files={**names, "test": "{language}/test.jsonl"}))
    assert leaked(task, "train") == {}
    assert leaked(task, "validation") == {"zul": 1}, "what stands in another language counts too"
    assert leaked(task, "test") == {"zul": 3}
    assert leaked(task, "test", ["eng"]) == {}
    found = check_task(task).counted
    assert sum(found["test", "zul"].leaked.values()) == 3
