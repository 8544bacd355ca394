import random
import time
from pathlib import Path

import numpy as np
import pytest

from edgelm.errors import BadInput
from edgelm.model.linear import LinearClassifier, load_linear, save_linear
from edgelm.tasks.examples import Labelled

pytest.importorskip("sklearn", reason="scikit-learn trains and is compared with")

ALPHABET = "aaaeeiioubdhklmnstuwyz'-.,!?0123ABCÉéšŠḓßİıǅΣς👩🏾🇿🇦漢字\u0301\u200d\0\ud800"
SPACES = [" ", " ", " ", "  ", "\n", "\t \r\n", "\u00a0", "\u2028", "\x1c", "\x85", "\u3000"]
AWKWARD = [
    "",
    " ",
    "\n\t  ",
    "\u3000",
    "a",
    "İ",
    "é",
    "a b",
    "x" * 5000,
    "👩🏾‍🌾" * 40,
    "\ud800",
    "\0",
    "a\0b \0",
]


def texts(count: int, seed: int = 0) -> list[str]:
    """Made-up text of words, odd characters and every kind of white space."""
    draw = random.Random(seed)
    syllables = [a + b for a in "bdhklmnstw" for b in "aeiou"]
    found = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randint(0, 14)):
            plain = draw.random() < 0.8
            parts.append("".join(draw.choices(syllables if plain else ALPHABET, k=draw.randint(1, 5))))
            parts.append(draw.choice(SPACES))
        found.append("".join(parts))
    return found


def pipeline(labels: int, ngrams: tuple[int, int] = (2, 5), seen: int = 1):  # type: ignore[no-untyped-def]
    """scikit-learn's vectoriser and classifier, fitted on made-up text whose label is its length."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=ngrams, sublinear_tf=True, min_df=seen)
    train = texts(300)
    classifier = LinearSVC(random_state=0).fit(
        vectorizer.fit_transform(train), [f"label {len(one) % labels}" for one in train]
    )
    return vectorizer, classifier


def as_model(vectorizer, classifier, ngrams=(2, 5), kind=np.float32) -> LinearClassifier:  # type: ignore[no-untyped-def]
    return LinearClassifier(
        labels=tuple(classifier.classes_.tolist()),
        features=tuple(vectorizer.get_feature_names_out().tolist()),
        idf=vectorizer.idf_.astype(np.float32),
        coefficients=classifier.coef_.T.astype(kind),
        intercept=classifier.intercept_.astype(np.float32),
        ngrams=ngrams,
        task="made up",
        languages=("zul",),
        method="LinearSVC, C=1",
        figures={"validation_macro_f1": 0.5},
    )


@pytest.fixture(scope="module")
def model() -> LinearClassifier:
    return as_model(*pipeline(3))


@pytest.mark.parametrize(
    ("labels", "ngrams", "seen"), [(3, (2, 5), 1), (2, (2, 5), 3), (4, (1, 3), 1), (3, (3, 4), 2)]
)
def test_decides_as_scikit_learn(labels: int, ngrams: tuple[int, int], seen: int) -> None:
    vectorizer, classifier = pipeline(labels, ngrams, seen)
    model = as_model(vectorizer, classifier, ngrams)
    unseen = texts(2000, seed=1) + AWKWARD
    theirs = classifier.decision_function(vectorizer.transform(unseen))
    ours = model.decision(unseen)
    assert ours.shape == (len(unseen), labels)
    if labels == 2:
        assert not ours[:, 0].any()
        ours = ours[:, 1]
    assert np.abs(ours - theirs).max() < 1e-5
    assert model.predict(unseen) == classifier.predict(vectorizer.transform(unseen)).tolist()


def test_a_text_is_decided_alike_alone_and_among_others(model: LinearClassifier) -> None:
    unseen = texts(40, seed=2) + AWKWARD
    together = model.decision(unseen)
    for number, text in enumerate(unseen):
        assert np.allclose(model.decision([text])[0], together[number], atol=1e-6)
    assert model.decision([]).shape == (0, 3)
    assert model.predict([]) == []


def test_comes_back_from_disk(model: LinearClassifier, tmp_path: Path) -> None:
    save_linear(model, tmp_path / "saved")
    assert {one.name for one in (tmp_path / "saved").iterdir()} == {
        "config.json",
        "features.txt",
        "model.safetensors",
        "README.md",
    }
    again = load_linear(tmp_path / "saved")
    assert (again.labels, again.features, again.ngrams) == (model.labels, model.features, model.ngrams)
    assert (again.task, again.languages, again.method) == ("made up", ("zul",), "LinearSVC, C=1")
    assert again.figures == model.figures
    assert np.array_equal(again.decision(texts(50)), model.decision(texts(50)))


def test_sixteen_bits_hardly_change_a_decision(tmp_path: Path) -> None:
    vectorizer, classifier = pipeline(3)
    whole, half = (as_model(vectorizer, classifier, kind=kind) for kind in (np.float32, np.float16))
    save_linear(half, tmp_path / "half")
    half = load_linear(tmp_path / "half")
    assert half.coefficients.dtype == np.float16
    assert half.bytes < whole.bytes
    assert np.abs(half.decision(texts(500, seed=1)) - whole.decision(texts(500, seed=1))).max() < 2e-3


def test_runs_without_scikit_learn_or_torch(model: LinearClassifier, tmp_path: Path) -> None:
    import subprocess
    import sys

    save_linear(model, tmp_path / "saved")
    code = (
        "import sys; sys.modules['sklearn'] = sys.modules['torch'] = sys.modules['scipy'] = None\n"
        "from pathlib import Path; from edgelm.model.linear import load_linear\n"
        f"print(load_linear(Path({str(tmp_path / 'saved')!r})).predict(['ba du']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(model.predict(["ba du"]))


def test_three_thousand_short_texts_a_second(model: LinearClassifier) -> None:
    unseen = [f"{one} " * 2 for one in texts(3000, seed=3)]
    model.predict(unseen[:10])
    started = time.process_time()
    model.predict(unseen)
    assert len(unseen) / (time.process_time() - started) > 3000


def damage(folder: Path, name: str, **values: object) -> None:
    import json

    config = json.loads((folder / name).read_text()) | values
    (folder / name).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no config", "config.json: no such file"),
        ("not json", "config.json: cannot be read"),
        ("other kind", "is of the kind 'llama'"),
        ("later", "is of version 2"),
        ("labels", "coefficients is"),
        ("label type", "is not a linear classifier's"),
        ("no key", "is not a linear classifier's"),
        ("ngrams", "n-grams of 2 to 5 characters, not 2 to 4"),
        ("twice", "stands twice"),
        ("fewer", "idf is"),
        ("two words", "reaches over two words"),
        ("no features", "features.txt: no such file"),
        ("weights", "is not a safetensors file"),
        ("no weights", "model.safetensors: no such file"),
        ("not a number", "not a number"),
    ],
)
def test_damage_is_one_line(model: LinearClassifier, tmp_path: Path, what: str, says: str) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "saved"
    save_linear(model, folder)
    features = (folder / "features.txt").read_bytes().split(b"\n")
    match what:
        case "no config":
            (folder / "config.json").unlink()
        case "not json":
            (folder / "config.json").write_text("{")
        case "other kind":
            damage(folder, "config.json", model_type="llama")
        case "later":
            damage(folder, "config.json", version=2)
        case "labels":
            damage(folder, "config.json", labels=["a", "b", "c", "d"])
        case "label type":
            damage(folder, "config.json", labels=[1, 2, 3])
        case "no key":
            damage(folder, "config.json", ngrams=None)
        case "ngrams":
            damage(folder, "config.json", ngrams=[2, 4])
        case "twice":
            (folder / "features.txt").write_bytes(b"\n".join([features[1], *features[1:]]))
        case "fewer":
            (folder / "features.txt").write_bytes(b"\n".join(features[1:]))
        case "two words":
            (folder / "features.txt").write_bytes(b"\n".join([b"a  b", *features[1:]]))
        case "no features":
            (folder / "features.txt").unlink()
        case "weights":
            (folder / "model.safetensors").write_bytes(b"0" * 100)
        case "no weights":
            (folder / "model.safetensors").unlink()
        case "not a number":
            weights = load_file(folder / "model.safetensors")
            weights["idf"][0] = np.nan
            save_file(weights, folder / "model.safetensors")
    with pytest.raises(BadInput) as caught:
        load_linear(folder)
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_of_ngrams_and_alphabet() -> None:
    weights = {"idf": np.ones(1), "coefficients": np.ones((1, 1)), "intercept": np.zeros(1)}
    with pytest.raises(BadInput, match="Begin with 1 to 3"):
        LinearClassifier(("a", "b"), ("abcd",), ngrams=(4, 5), **weights)
    many = tuple(chr(0x4E00 + number) * 2 for number in range(7000))
    weights = {"idf": np.ones(7000), "coefficients": np.ones((7000, 1)), "intercept": np.zeros(1)}
    with pytest.raises(BadInput, match="7000 different characters are too many"):
        LinearClassifier(("a", "b"), many, **weights).decision(["x"])
    with pytest.raises(BadInput, match="two or more different labels"):
        LinearClassifier(("a", "a"), many, **weights)


@pytest.mark.parametrize(("labels", "ngrams", "kind"), [(3, (2, 5), np.float16), (2, (1, 3), np.float32)])
def test_onnx_decides_alike(labels: int, ngrams: tuple[int, int], kind: type, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the ONNX form is written with onnx")
    from edgelm.export.linear import export_linear
    from edgelm.runtime.onnx_linear import OnnxLinear

    model = as_model(*pipeline(labels, ngrams), ngrams, kind)
    unseen = texts(300, seed=1) + AWKWARD
    verified = export_linear(model, tmp_path / "onnx", unseen)
    assert verified["texts"] == len(unseen)
    assert verified["largest_decision_difference"] < 1e-4
    exported = OnnxLinear.open(tmp_path / "onnx")
    assert exported.head.labels == model.labels
    exported.batch = 7  # rows of different length in one batch, and several batches
    assert np.abs(exported.decision(unseen) - model.decision(unseen)).max() < 1e-4
    examples = [Labelled(text, "", "") for text in [*unseen, ""]]
    assert exported.label(examples) == [[label] for label in model.predict([*unseen, ""])]
    assert exported.decision([]).shape == (0, labels)


def test_onnx_verification_refuses_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="the ONNX form is written with onnx")
    from edgelm.errors import EdgelmError
    from edgelm.export import linear

    model, other = as_model(*pipeline(3)), as_model(*pipeline(3, seen=2))
    write = linear.write_linear_onnx
    monkeypatch.setattr(linear, "write_linear_onnx", lambda _, path: write(other, path))
    with pytest.raises(EdgelmError, match="differ by"):
        linear.export_linear(model, tmp_path / "onnx", texts(20))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.onnx", b"0" * 50, "model.onnx: is not an ONNX model that can be read"),
        ("config.json", b"{}", "config.json: is of the kind None"),
        ("config.json", None, "config.json: no such file"),
    ],
)
def test_what_is_no_onnx_form_is_one_line(
    tmp_path: Path, model: LinearClassifier, name: str, content: bytes | None, says: str
) -> None:
    pytest.importorskip("onnx", reason="the ONNX form is written with onnx")
    from edgelm.export.linear import export_linear
    from edgelm.runtime.onnx_linear import OnnxLinear

    export_linear(model, tmp_path / "onnx", ["a"])
    if content is None:
        (tmp_path / "onnx" / name).unlink()
    else:
        (tmp_path / "onnx" / name).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        OnnxLinear.open(tmp_path / "onnx")
    assert says in str(caught.value)


def test_a_config_of_other_labels_is_refused(tmp_path: Path, model: LinearClassifier) -> None:
    pytest.importorskip("onnx", reason="the ONNX form is written with onnx")
    from edgelm.export.linear import export_linear
    from edgelm.runtime.onnx_linear import OnnxLinear

    export_linear(model, tmp_path / "onnx", ["a"])
    damage(tmp_path / "onnx", "config.json", labels=list(reversed(model.labels)))
    with pytest.raises(BadInput, match=r"has other labels than config\.json"):
        OnnxLinear.open(tmp_path / "onnx")
