"""Classifiers that train in a second; a model that does not beat them has not earned its megabytes."""

from collections import Counter

from edgelm.extras import require
from edgelm.tasks.classification import Example


def majority(train: list[Example], test: list[Example]) -> list[str]:
    """The commonest training label of each language; ties go to the one seen first."""
    commonest = {}
    for code in {one.language for one in test}:
        labels = [one.label for one in train if one.language == code] or [one.label for one in train]
        commonest[code] = Counter(labels).most_common(1)[0][0]
    return [commonest[one.language] for one in test]


def tfidf_svm(train: list[Example], test: list[Example]) -> list[str]:
    """TF-IDF of character 2- to 5-grams with a linear support vector machine, one for all languages."""
    if len({one.label for one in train}) == 1:  # nothing to separate
        return majority(train, test)
    require("sklearn", "train")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True), LinearSVC(random_state=0)
    )
    pipeline.fit([one.text for one in train], [one.label for one in train])
    return list(pipeline.predict([one.text for one in test]))


BASELINES = {"majority": majority, "TF-IDF + SVM": tfidf_svm}
