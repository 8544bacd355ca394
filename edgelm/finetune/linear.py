"""Train a linear text classifier: character TF-IDF with a support vector machine or logistic regression.

The method and its cost C are chosen on validation examples where there are any; the weights always come from
the training examples alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgelm.errors import BadInput
from edgelm.evaluate.scores import score
from edgelm.extras import require
from edgelm.model.linear import LinearClassifier, check_ngrams
from edgelm.tasks.examples import Labelled, languages_in

NGRAMS = (2, 5)
COSTS = {"svm": (0.3, 1.0, 3.0), "logistic": (10.0, 100.0)}
"""C of each method, the second of two or middle of three being a fair guess without validation."""
DEFAULT = ("svm", 1.0)


def train_linear(
    train: Sequence[Labelled],
    validation: Sequence[Labelled] = (),
    *,
    task: str = "",
    ngrams: tuple[int, int] = NGRAMS,
    seen: int = 1,
    methods: Sequence[str] = ("svm", "logistic"),
    half: bool = True,
) -> LinearClassifier:
    """The classifier with the best validation macro-F1, the first one of equals.

    Args:
        seen: leave out n-grams that fewer training texts have.
        methods: of `svm` and `logistic`; the first one's default where there is no validation.
        half: keep coefficients in 16 bits.

    Raises:
        BadInput: there are no two labels to tell apart, no text has a feature, or a method is unknown.
        MissingExtra: scikit-learn is not installed.
    """
    check_ngrams(ngrams)
    for method in methods:
        if method not in COSTS:
            raise BadInput(f"unknown method '{method}'", remedy=f"choose from: {', '.join(COSTS)}")
    labels = [one.label for one in train]
    if len(set(labels)) < 2:
        raise BadInput(
            "the training examples have fewer than two labels", remedy="check the task's training file"
        )
    require("sklearn", "train")
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=ngrams, sublinear_tf=True, min_df=seen, dtype=np.float64
    )
    try:
        known = vectorizer.fit_transform([one.text for one in train])
    except ValueError as error:  # scikit-learn's for an empty vocabulary
        raise BadInput(
            f"the training texts have no n-gram in common ({error})", remedy="lower --min-df"
        ) from None
    tried: dict[str, float] = {}
    every = tuple(sorted({one.label for one in (*train, *validation)}))
    if validation:
        held_out = vectorizer.transform([one.text for one in validation])
        candidates = [(method, cost) for method in methods for cost in COSTS[method]]
    else:
        held_out, candidates = None, [DEFAULT if "svm" in methods else (methods[0], COSTS[methods[0]][0])]
    best: Any = None
    for method, cost in candidates:
        fitted = _estimator(method, cost).fit(known, labels)
        name = f"{type(fitted).__name__}, C={cost:g}"
        tried[name] = (
            score(validation, fitted.predict(held_out), labels=every)["macro_f1"] if validation else 0.0
        )
        if best is None or tried[name] > tried[best[0]]:
            best = (name, fitted)
    name, fitted = best
    coefficients = np.ascontiguousarray(fitted.coef_.T, dtype=np.float32)
    figures: dict[str, Any] = {"training_texts": len(train)}
    if validation:
        figures |= {"validation_texts": len(validation), "validation_macro_f1": tried[name], "tried": tried}
    return LinearClassifier(
        labels=tuple(str(one) for one in fitted.classes_),
        features=tuple(vectorizer.get_feature_names_out().tolist()),
        idf=vectorizer.idf_.astype(np.float32),
        coefficients=coefficients.astype(np.float16) if half else coefficients,
        intercept=fitted.intercept_.astype(np.float32),
        ngrams=ngrams,
        task=task,
        languages=tuple(languages_in(train)),
        method=name,
        figures=figures,
    )


def _estimator(method: str, cost: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    if method == "svm":
        return LinearSVC(C=cost, random_state=0)
    return LogisticRegression(C=cost, max_iter=1000)
