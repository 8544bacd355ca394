"""Take the markup of HTML and MediaWiki out of a text and leave its words.

Only tags whose names are known count as such, so that `a < b`, `x<y>z` and `<phone>` stay. What a reader of
the page would not see as text goes with its markup: references, scripts, images, categories, the fields of a
MediaWiki dump and the numbers of footnotes. Time is linear in the length of the text.
"""

import re

ROUNDS = 4  # links inside links; deeper ones are left to the caller's next round

INLINE = (
    "a abbr b bdi big cite code del em font i ins kbd mark nowiki noinclude includeonly onlyinclude "
    "poem pre s samp small span strike strong sub sup tt u var"
).split()
BLOCK = (
    "address article aside blockquote body br button caption center col colgroup contributor dd div "
    "dl dt fieldset figcaption figure footer form frame gallery h1 h2 h3 h4 h5 h6 head header hr "
    "html iframe img input label legend li link main meta nav noscript ol option p page param ref "
    "references revision script section select style table tbody td templatestyles textarea tfoot th "
    "thead title tr ul"
).split()
TAG = re.compile(
    rf"<(?:!--[^<>]{{0,300}}--|/?({'|'.join(sorted(INLINE + BLOCK, key=len, reverse=True))})"
    r"(?:[\s/][^<>]{0,300})?)>",
    re.IGNORECASE,
)
HIDDEN = re.compile(
    r"<(ref|style|script)(?:\s[^<>]{0,200})?(?<!/)>(?:[^<]|<(?!/?\1)){0,1000}</\1>"
    r"|<(id|parentid|ns|timestamp|username|ip|model|format|sha1|comment)>[^<>\n]{0,300}</\2>",
    re.IGNORECASE,
)
LINK = re.compile(r"\[\[([^\[\]\n]{1,400})\]\]")
UNSEEN = re.compile(
    r"\s*:?\s*(?:category|file|image|media|beeld|kategorie|lêer|ifayil[ei]|udidi|commons|umfanekiso|isithombe)\s*:"
    r"|[^|]*\.(?:gif|jpe?g|ogg|png|svg)\s*(?:\||$)",
    re.IGNORECASE,
)
BOLD = re.compile(r"'''([^'\n]{1,200})'''")
MAGIC = re.compile(r"__(?:NOTOC|FORCETOC|TOC|NOEDITSECTION|NOGALLERY|HIDDENCAT|NOINDEX|INDEX)__")
NUMBER = re.compile(r"\[([0-9]{1,3})\]")
NOTE = r"\[[0-9]{1,3}\]"
# after a sentence or a part of one, which is where footnotes stand; `[1]. [2]` in a message is none
NOTES = re.compile(
    rf"(?:(?<=[\w).”\"’][.,;!?])|(?<=\w [.,;!?]))(?:{NOTE})+(?=[\s.,;)]|$)"
    rf"|(?<=[.!?][”\"’)])(?:{NOTE})+(?=\s|$)"
)
LOOSE = re.compile(
    rf"(?<=[\w”\")][.,;!?]) {NOTE}(?: ?{NOTE})*(?= |$)|(?<=[^\W\d_]{{3}})(?:{NOTE})+(?=[\s.,;)]|$)",
    re.MULTILINE,
)
BARE = re.compile(r"&(nbsp|gt|lt|quot)(?=[\s&A-Z0-9]|$)")
MEANT = {"nbsp": " ", "gt": ">", "lt": "<", "quot": '"'}


def strip_markup(text: str) -> tuple[str, int]:
    """The text without markup, and how many tags, links and marks went from it."""
    found = 0
    if "&" in text:
        text, number = BARE.subn(lambda match: MEANT[match[1]], text)
        found += number
    if "<" in text and ">" in text:
        text, number = HIDDEN.subn("", text)
        text, tags = TAG.subn(_gap, text)
        found += number + tags
    if "]" in text and "[" in text:
        text, number = _links(text)
        found += number
        text, number = _notes(text)
        found += number
    if "'''" in text:
        text, number = BOLD.subn(r"\1", text)
        found += number
    if "__" in text:
        text, number = MAGIC.subn("", text)
        found += number
    return text, found


def _gap(match: re.Match[str]) -> str:
    name = (match[1] or "a").lower()
    return "" if name in INLINE or name in ("ref", "references") else "\n"


def _links(text: str) -> tuple[str, int]:
    """Links as what they show."""
    found = 0
    for _ in range(ROUNDS):
        if "[[" not in text:
            break
        text, number = LINK.subn(_shown, text)
        found += number
        if not number:
            break
    return text, found


def _shown(match: re.Match[str]) -> str:
    if UNSEEN.match(match[1]):
        return ""
    target, _, shown = match[1].rpartition("|")
    return shown.strip() or target.strip()


def _notes(text: str) -> tuple[str, int]:
    """Without the numbers of footnotes; after a blank or a bare word only where no bracket is anything else.

    One alone proves nothing: messages of programs end in `[2]`.
    """
    text, found = NOTES.subn("", text)
    numbers = NUMBER.findall(text)
    if len(numbers) + found < 2 or all(
        number.endswith(("0", "5")) for number in numbers
    ):  # marks of an examination paper
        return text, found
    bare, loose = LOOSE.subn("", text)
    return (text, found) if NUMBER.search(bare) else (bare, found + loose)
