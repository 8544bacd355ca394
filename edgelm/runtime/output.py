"""From the bytes of tokens to text that can be shown: whole characters, and nothing of a stop sequence."""

import codecs
from collections.abc import Sequence
from unicodedata import normalize


class Output:
    """Takes the bytes of one token after another and gives back text.

    What may be the beginning of a stop sequence is held back until it is clear. Bytes are compared, not
    characters: UTF-8 lets no sequence begin inside a character.

    Attributes:
        stopped: whether a stop sequence was met. Nothing of it and nothing after it is given out.
        shown: bytes that were given out, those of a character that is not whole yet among them.
    """

    def __init__(self, stop: Sequence[str] = ()):
        spelt = {one for text in stop for one in (text, normalize("NFC", text))}  # as models write
        self.stops = sorted(text.encode("utf-8") for text in spelt)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.held, self.stopped, self.shown = b"", False, 0

    def add(self, data: bytes) -> str:
        """Text that is clear now that `data` follows."""
        self.held += data
        places = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if places:
            self.stopped = True
            return self._show(min(places))
        return self._show(len(self.held) - max((_begun(self.held, stop) for stop in self.stops), default=0))

    def end(self) -> str:
        """What was held back, where no stop sequence was met; a character cut in two becomes U+FFFD."""
        text = "" if self.stopped else self._show(len(self.held))
        return text + self.decoder.decode(b"", final=True)

    def _show(self, count: int) -> str:
        data, self.held = self.held[:count], self.held[count:]
        self.shown += len(data)
        return self.decoder.decode(data)


def _begun(data: bytes, stop: bytes) -> int:
    """Bytes at the end of `data` that `stop` begins with."""
    most = min(len(stop) - 1, len(data))
    return next((size for size in range(most, 0, -1) if data.endswith(stop[:size])), 0)
