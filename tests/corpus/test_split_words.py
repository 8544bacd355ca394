import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.corpus.sentences import sentences
from edgelm.corpus.token_tables import word_rules
from edgelm.corpus.tokens import split_words

# any code point, half surrogate pairs and unassigned ones too; and what the rules look at, more often
WORDS = "... U.S. e.g. don't it’s 10km 9p.m. www.gov.za/a-b x@y.org :-) US$ we'll've"
PARTS = [*" \n\t\u2028.,:;!?-–—_'’\"()[]{}<>#*&/\\+^%$€°²…•~@1059aAsSU\ud800ʼ字\U00020000🙂", *WORDS.split()]
ANY = st.lists(st.one_of(st.characters(codec=None), st.sampled_from(PARTS))).map("".join)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # punctuation comes off both ends, as often as there is some; what may precede a final dot is limited
        ('("Sawubona!"),', '( " Sawubona ! " ) ,'),
        ("Umfana. iANC. A.B. X. 7. +. -.", "Umfana . iANC . A.B. X. 7 . + . - ."),
        ("ehhe... ...ye a..b (…) …… a…… don't...", "ehhe ... ... ye a .. b ( … ) … … a …… do n't ..."),
        ("-khaya -ye- =a% §5 –x— /y", "-khaya -ye- = a% § 5 – x — /y"),
        ("+27 +a 5+ b+", "+27 + a 5 + b+"),
        ("Thabo's Thabo’S 's", "Thabo 's Thabo ’S 's"),
        # money, measures, hours
        ("R10.50 $5 US$5 5US$ 5C$ 7€ A$", "R10.50 $ 5 US$ 5 5 US$ 5 C$ 7 € A$"),
        ("10km 3m/s 5% 20GB 5kmx km 2.5ha", "10 km 3 m/s 5 % 20 GB 5kmx km 2.5 ha"),
        ("9a.m. 13pm 12pm 20°C.", "9 a.m. 13pm 12 pm 20 ° C ."),
        # between letters and digits
        ("ama-awa i-50 2-3 a--b c---d x–y z—w", "ama - awa i-50 2 - 3 a -- b c --- d x – y z — w"),
        (
            "a,b 1,6 a,5 a/b 1/2 x:y x=1 5*3 ku.Ko ku.ko Ku.KO",
            "a , b 1,6 a,5 a / b 1/2 x : y x=1 5 * 3 ku . Ko ku.ko Ku . KO",
        ),
        ("ḓo.Ṋa š-ê ŉ’s", "ḓo . Ṋa š - ê ŉ ’s"),
        # words with a rule of their own, also within brackets and behind a hyphen
        (
            "Don't can’t’ve cannot (we'll) ima shed wed",
            "Do n't ca n’t ’ve can not ( we 'll ) i m a shed we d",
        ),
        ("e.g. (Mr. X) N.Y. and/or x-b. wo.D", "e.g. ( Mr. X ) N.Y. and/or x - b. wo . D"),
        (":-) word:) (8) 18)", ":-) word :) ( 8) 18 )"),
        ("10°C.! °F.:( x-°C.–’", "10 ° C . ! ° F . :( x- ° C . – ’"),
        # what reads as a URL stays whole
        (
            "www.gov.za/a-b,c http://x.co.za:80/?q=a-b x-y@z.org",
            "www.gov.za/a-b,c http://x.co.za:80/?q=a-b x-y@z.org",
        ),
        (
            "8.8.4.4/a:b a-.co.za/b 10.0.0.1/a:b 192.168.1.1/a 300.1.1.1/a a.b/c:d",
            "8.8.4.4/a:b a-.co.za / b 10.0.0.1 / a : b 192.168.1.1 / a 300.1.1.1 / a a.b / c : d",
        ),
        ("\u3000a\xa0b\n\nc\x1cd", "a b c d"),
        ("", ""),
        (" \n\t", ""),
    ],
)
def test_tokens(text: str, tokens: str) -> None:
    assert split_words([text]) == [tokens.split()]


@settings(deadline=None)  # the first example may compile
@given(ANY)
def test_tokens_are_the_text_without_white_space(text: str) -> None:
    [tokens] = split_words([text])
    assert "".join(tokens) == "".join(text.split())
    assert all(tokens)


@settings(deadline=None)  # the first example may compile
@given(st.lists(ANY, max_size=4))
def test_a_batch_is_tokenized_as_its_texts_are(texts: list[str]) -> None:
    assert split_words(texts) == [split_words([text])[0] for text in texts]
    assert sentences(texts).tolist() == [sentences([text])[0] for text in texts]


def test_every_word_with_a_rule_follows_it() -> None:
    rules = word_rules()
    assert len(rules) > 1200
    assert all("".join(parts) == word for word, parts in rules.items())
    assert dict(zip(rules, map(tuple, split_words(list(rules))), strict=True)) == rules


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("Umfana uyahamba", 1),
        ("Umfana uyahamba.", 1),
        ("Uyahamba. Uyabuya? Yebo!", 3),
        ('Hamba!"', 1),
        ('"Hamba!" Uthe.', 2),  # the closing quotation mark still belongs to the first
        ("Hamba... uthe. Yebo", 2),  # three dots are one token that ends nothing
        ("UMnu. Dube u-S.A. e.g. la", 2),  # only "UMnu" and "." are two tokens
        ("Yebo.  Cha", 2),
        ("Yebo. ", 1),  # one blank at the end is no token,
        ("Yebo.  ", 2),  # two are
        ("Yebo.\n", 2),
        ("Yebo!? (Cha)", 2),
        ("ku.Ko. 5.5", 3),  # cut between lower and upper case
        ("a。字", 1),  # one token: a mark comes off the ends only
        ("字。 字", 2),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert sentences([text]).tolist() == [count]
