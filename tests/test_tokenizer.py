"""A tokenizer on this machine: exact counts, label words without a request."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bdpl_async.errors import ConfigError, UsageError
from bdpl_async.records import Request
from bdpl_providers.candidates import token_ids
from bdpl_providers.dialect import Dialect
from bdpl_providers.server import Server
from bdpl_providers.tokenizer import LocalTokenizer, find_tokenizer
from tests.standin import REQUEST, Ledger, StandIn, texts

tokenizers = pytest.importorskip("tokenizers", reason="the extra 'local' is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with a tokenizer that splits at spaces and adds a token in front."""
    words = ["<s>", "[UNK]", "Is", "7", "greater?", "Answer:", "Yes", "No", "some", "prompt"]
    numbers = {word: number for number, word in enumerate(words)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, words[1]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    made.enable_truncation(4)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


async def test_counts(folder: Path) -> None:
    """Counts are the server's own: special tokens included, nothing cut off."""
    local = LocalTokenizer(folder)
    assert await local.count(["Is 7 greater? Answer: Yes", "", "caf\udce9"]) == [6, 1, 2]
    assert await LocalTokenizer(folder / "tokenizer.json").count(["word " * 3000]) == [3001]
    assert local.pieces([6, 7]) == ("Yes", "No")


def test_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, or none that is a tokenizer, is refused by its key; so is a missing library."""
    with pytest.raises(ConfigError, match=r"model\.tokenizer: there is no file"):
        LocalTokenizer(tmp_path / "nowhere")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no tokenizer"):
        LocalTokenizer(tmp_path / "bad.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match="is not installed"):
        LocalTokenizer(folder)


def test_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured path counts; else a model named by a path to a folder that has the file."""
    found = find_tokenizer(str(folder), "tiny")
    assert found is not None
    assert found.path == folder / "tokenizer.json"
    assert find_tokenizer(None, str(folder)) is not None
    monkeypatch.chdir(folder.parent)
    assert find_tokenizer(None, folder.name) is None  # a bare name may be any folder
    assert find_tokenizer(None, "Qwen/Qwen3-4B") is None


async def test_labels_without_a_request(folder: Path) -> None:
    """Label words are resolved here, and counts are said to be exact."""
    standin, ledger = StandIn(), Ledger()
    standin.vocabulary = {" Yes": 6, " No": 7}
    scorer = Server(
        Dialect("vllm", "m", "http://here", (token_ids("m"),), tokenizer=LocalTokenizer(folder)),
        standin,
    )
    found = await scorer.probe(REQUEST, ledger)
    assert ledger.sent == [(1, "ok"), (1, "ok")]
    assert standin.posts[0][1]["logprob_token_ids"] == [6, 7]
    assert found.exact
    assert await scorer.count(texts("Is 7 greater?")) == [4]


async def test_another_models_tokenizer(folder: Path) -> None:
    """A tokenizer that makes other counts than the server's is doubted aloud."""
    standin = StandIn(vocabulary={" Yes": 6, " No": 7})
    scorer = Server(
        Dialect("vllm", "m", "http://here", (token_ids("m"),), tokenizer=LocalTokenizer(folder)),
        standin,
    )
    found = await scorer.probe(Request(texts("Is 7 greater? Answer:"), (" Yes", " No")), Ledger())
    (note,) = found.notes
    assert "makes 5 tokens of a sample and the server 7" in note
