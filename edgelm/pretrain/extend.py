"""`edgelm pretrain --extend-languages`: a trained model taught further languages, the old ones replayed.

Tags and tokens are added to the tokenizer and rows to the embedding, then training goes on with text of the
new languages and of the old, as mBART-50 was made of mBART (Tang et al., 2020).
"""

from pathlib import Path

from edgelm.errors import BadInput
from edgelm.languages import get_language
from edgelm.model.decoder import Decoder
from edgelm.model.directory import load_model
from edgelm.model.extend import extend_embeddings
from edgelm.progress import Progress
from edgelm.tokenizer.extend import extend_tokenizer
from edgelm.tokenizer.text import TextTokenizer

FOLDER = Path("tokens", "tokenizer")  # inside a run's folder, with the tokens and removed as they are


def extend(
    init_from: Path,
    corpus: Path,
    languages: list[str],
    partial: Path,
    *,
    new_tokens: int,
    progress: Progress | None = None,
) -> tuple[Decoder, Path]:
    """The model directory `init_from` made ready to learn `languages`: the decoder and a tokenizer directory.

    The tokenizer is written inside `partial`, the folder of the run, where a run that is taken up again finds
    it finished.

    Raises:
        BadInput: `init_from` is no model directory, or a language is unknown or not in the corpus.
    """
    model = load_model(init_from)
    folder = partial / FOLDER
    extend_tokenizer(init_from, corpus, languages, folder, new_tokens=new_tokens, progress=progress)
    return extend_embeddings(model, TextTokenizer(init_from), TextTokenizer(folder)), folder


def replay_shares(shares: dict[str, float], new: list[str], replay: float) -> dict[str, float]:
    """Shares of the languages in training, of which those not in `new` together have `replay`.

    Among the old languages, and among the new, `shares` decide as before. A language whose share would be
    nothing is left out. `new` may hold any names of languages, as for `extend`.

    Raises:
        BadInput: `replay` is not from 0 to below 1, or is above 0 where there is no old language.
    """
    codes = {get_language(name).code for name in new}
    if not 0 <= replay < 1:
        raise BadInput(f"--replay {replay} is out of range", remedy="give from 0 to below 1")
    wanted = {True: 1 - replay, False: replay}
    total = {
        group: sum(share for code, share in shares.items() if (code in codes) is group) for group in wanted
    }
    if replay and not total[False]:
        raise BadInput(
            "the corpus holds no old language to replay", remedy="add text of one, or give --replay 0"
        )
    scale = {group: wanted[group] / total[group] if total[group] else 0.0 for group in wanted}
    found = {code: share * scale[code in codes] for code, share in shares.items()}
    return {code: share for code, share in found.items() if share}
