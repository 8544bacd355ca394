"""Special tokens of models made elsewhere go by their own names, whatever runs the model."""

from pathlib import Path
from typing import Any

import foreign
import pytest
from served import start

from edgelm.runtime import load

pytest.importorskip("transformers", reason="makes the foreign model")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("llama_cpp", reason="GGUF files are run with llama-cpp-python")
    from edgelm.export.gguf import write_gguf

    folder = tmp_path_factory.mktemp("foreign")
    directory = foreign.model_dir("qwen2", folder)
    write_gguf(directory, folder / "model-F32.gguf", "F32")
    return {"directory": directory, "gguf": folder / "model-F32.gguf"}


@pytest.mark.parametrize("kind", ["directory", "gguf"])
def test_a_token_has_the_tokenizers_name(qwen: dict[str, Path], kind: str) -> None:
    model = load(qwen[kind], threads=1)
    assert [model.token_name(token) for token in (model.end, model.eos)] == ["<|im_end|>"] * 2
    assert {model.token_name(token) for token in model.ends} == {"<|im_end|>", "<|endoftext|>"}
    assert model.token_bytes(model.end) == b""
    assert model.token_name(foreign.ROWS - 1) == "<|663|>"  # a row of the embedding that no token has
    model.close()


def test_a_client_reads_it_beside_its_log_probability(qwen: dict[str, Path]) -> None:
    ask: Any = {"messages": [{"role": "user", "content": "Sawubona"}], "logprobs": True, "top_logprobs": 20}
    with start(qwen["gguf"]) as server:
        answer = server.client().chat.completions.create(model="model-F32", max_tokens=60, seed=1, **ask)
    content = answer.choices[0].logprobs.content
    names = {top.token for one in content for top in one.top_logprobs if top.bytes is None}
    assert names & {*foreign.IM}
    assert names <= {*foreign.IM, *(f"<|{number}|>" for number in range(foreign.VOCAB_SIZE, foreign.ROWS))}
