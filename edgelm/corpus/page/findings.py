"""What a reader of the report should look at first."""

from collections.abc import Iterator

from edgelm.corpus.page.facts import NOT_STATED, Facts, counted
from edgelm.corpus.page.filters import refused
from edgelm.page.markup import Html, element, foreign, join, listed, number, percent, words_of

FEW_KEPT = 0.5  # share of documents
AGREE = 0.9  # share of documents identified as the language they are said to be in
ONE_SOURCE = 0.9  # share of a language's text
TOO_OFTEN = 4  # times the same text is seen; more teaches little (Muennighoff et al., 2023)


def findings(facts: Facts) -> Html:
    """Remarks, each with a link to the section that has more."""
    remarks = [remark for check in CHECKS for remark in check(facts)]
    if not remarks:
        return element("p", "Nothing stands out. The samples are still worth reading.")
    return element("ul", *(element("li", remark) for remark in remarks), class_="findings")


def _little_kept(facts: Facts) -> Iterator[Html]:
    own = facts.own.items()
    few = [
        _with_share(facts, code, one["kept"], one["documents"])
        for code, one in own
        if 0 < one["kept"] < FEW_KEPT * one["documents"]
    ]
    if none := [facts.name(code) for code, one in own if not one["kept"]]:
        yield _remark("funnel", "Why", "Nothing was kept in ", listed(none), ".")
    if few:
        yield _remark("funnel", "Why", "Less than half was kept in ", listed(few), ".")


def _refused(facts: Facts) -> Iterator[Html]:
    found: dict[str, list[Html]] = {}
    for one, note in refused(facts):
        said = join([facts.name(one["language"]), f" {number(note['value'])}"])
        found.setdefault(one["reason"], []).append(said)
    for reason, values in found.items():
        rule = element("em", words_of(reason))
        yield _remark(
            "filters", "The rules", "An implausible bound was proposed for ", rule, " and not used: ",
            listed(values), ".",
        )  # fmt: skip


def _disagree(facts: Facts) -> Iterator[Html]:
    found = [
        _with_share(facts, code, seen.get(code, 0), sum(seen.values()))
        for code, seen in facts.manifest.get("confusion", {}).items()
        if code in facts.registry
        and code not in facts.manifest.get("unidentified", ())
        and seen.get(code, 0) < AGREE * sum(seen.values())
    ]
    if found:
        said = "Many documents were identified as another language than they are said to be in. Agreement: "
        yield _remark("confusion", "Which languages", said, listed(found), ".")


def _unidentified(facts: Facts) -> Iterator[Html]:
    if found := [facts.name(code) for code in facts.manifest.get("unidentified", ())]:
        said = "The identifier does not know these, so nothing checks that their text is in them: "
        yield _remark("confusion", "Languages identified", said, listed(found), ".")


def _guessed(facts: Facts) -> Iterator[Html]:
    if guessed := facts.manifest.get("guessed", 0):
        said = f"Nothing said the language of {counted(guessed)}: it was guessed from the text."
        yield _remark("confusion", "Languages identified", said)


def _contaminated(facts: Facts) -> Iterator[Html]:
    reasons = {rule["reason"] for rule in facts.rules if rule["column"] == "contaminated"}
    hit = sum(one.get("failed", {}).get(reason, 0) for one in facts.own.values() for reason in reasons)
    if hit:
        yield _remark("contamination", "Where", counted(hit), " held text of evaluation files.")


def _unstated(facts: Facts) -> Iterator[Html]:
    own = facts.manifest["sources"]
    names = [name for name in own if facts.terms(name)["licence"] == NOT_STATED]
    if names:
        share = percent(sum(own[name]["bytes"] for name in names), facts.manifest["bytes"])
        shown: list[object] = [foreign(name) for name in names[:3]]
        shown += [f"{len(names) - 3:,} more"] if len(names) > 3 else []
        said = f"The recipe states no licence for {share} of the text: "
        yield _remark("sources", "Sources", said, listed(shown), ".")


def _one_source(facts: Facts) -> Iterator[Html]:
    found = [
        _with_share(facts, code, taken, facts.own[code]["bytes"], foreign(name))
        for name, one in facts.manifest["sources"].items()
        for code, (_, _, taken) in one["languages"].items()
        if taken and taken >= ONE_SOURCE * facts.own[code]["bytes"]
    ]
    if found and len(facts.manifest["sources"]) > 1:
        yield _remark("sources", "Sources", "Nearly all text is of one source in ", listed(found), ".")


def _often(facts: Facts) -> Iterator[Html]:
    found = [
        join([facts.name(code), f" ({one['epochs']:.1f})"])
        for code, one in facts.manifest.get("mix", {}).items()
        if one["epochs"] > TOO_OFTEN
    ]
    if found:
        said = (
            f"The training mix goes more than {TOO_OFTEN} times through the same text, which teaches little: "
        )
        yield _remark("languages", "The mix", said, listed(found), ".")


def _skipped(facts: Facts) -> Iterator[Html]:
    if files := facts.manifest.get("skipped"):
        yield _remark("skipped", "Which", counted(len(files), ("file was", "files were")), " passed over.")


def _with_share(facts: Facts, code: str, part: int, whole: int, what: object = "") -> Html:
    return join([facts.name(code), " (", what, " " if what else "", percent(part, whole), ")"])


def _remark(place: str, link: str, *said: object) -> Html:
    return join([*said, " ", element("a", link, href=f"#{place}")])


CHECKS = (
    _little_kept, _refused, _disagree, _unidentified, _guessed, _contaminated, _unstated, _one_source,
    _often, _skipped,
)  # fmt: skip
