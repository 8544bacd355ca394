"""Every reader, given whatever there may be; `benchmarks/fuzz.py` does so for minutes, and otherwise."""

import pytest
from fuzz_all import READERS
from fuzzing import check, fuzz

EXAMPLES = 12


@pytest.mark.parametrize("name", READERS)
def test_any_input_is_read_or_refused_in_one_line(name: str) -> None:
    assert check(READERS[name], {})
    fuzz(READERS[name], EXAMPLES)
