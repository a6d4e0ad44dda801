"""Token counts: exact where the vocabulary is known, never too few, never in anybody's way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_providers.tokens import INLINE, TokenCounter, Vocabulary, byte_bound, load_vocabulary

BESIDE = Path(__file__).parent.parent.parent / "shared" / "data" / "tiktoken-cache"
SOURCE = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
FILE = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def vocabulary_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """tiktoken's own file, if it lies here; a test never fetches it."""
    pytest.importorskip("tiktoken")
    for folder in (os.environ.get("TIKTOKEN_CACHE_DIR"), BESIDE):
        if folder and (Path(folder) / FILE).is_file():
            monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
            return
    pytest.skip("tiktoken's file of o200k_base is in no cache here, and tests fetch nothing")


class Words:
    """An encoder that makes a token of each word, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.threads: set[int] = set()

    def encode_ordinary(self, text: str) -> list[int]:
        self.asked.append(text)
        self.threads.add(threading.get_ident())
        return [0] * len(text.split())


def loading(words: Words, *, known: bool = True) -> Callable[[str], Vocabulary]:
    return lambda model: Vocabulary("words", words, known)


async def test_each_distinct_string_is_encoded_once() -> None:
    """A string that stands twice, in one call or in two, is encoded once."""
    words = Words()
    counter = TokenCounter("m", load=loading(words))
    assert await counter.count(["a b", "c", "a b"]) == [2, 1, 2]
    assert await counter.count(["c", "d e f"]) == [1, 3]
    assert words.asked == ["a b", "c", "d e f"]
    assert counter.note is None
    assert await counter.count([]) == []


async def test_only_the_newest_counts_are_kept() -> None:
    """Memory is bounded: the oldest count goes, and asking for one makes it new again."""
    words = Words()
    counter = TokenCounter("m", load=loading(words), remembered=2)
    await counter.count(["a", "b"])
    await counter.count(["a"])
    await counter.count(["c"])
    assert await counter.count(["a", "b"]) == [1, 1]
    assert words.asked == ["a", "b", "c", "b"]
    assert await counter.count(["d", "e f", "g"]) == [1, 2, 1]


async def test_much_text_is_encoded_off_the_loop() -> None:
    """Short texts are encoded where they are asked for, long ones on another thread."""
    words = Words()
    counter = TokenCounter("m", load=loading(words))
    await counter.count(["x" * INLINE])
    assert words.threads == {threading.get_ident()}
    await counter.count(["y" * (INLINE + 1)])
    assert len(words.threads) == 2


async def test_a_load_that_hangs_is_waited_for_once() -> None:
    """After its patience the counter counts bytes, says so, and stays with it."""
    release, words = threading.Event(), Words()

    def load(model: str) -> Vocabulary:
        release.wait(10)
        return Vocabulary("words", words)

    counter = TokenCounter("gpt-x", load=load, patience=0.02)
    before = time.monotonic()
    first, second = await asyncio.gather(counter.count(["a b"]), counter.count(["é"]))
    assert (first, second) == ([3], [2])
    assert time.monotonic() - before < 5
    assert counter.note is not None
    assert "gpt-x could not be loaded (nothing within 0.02 s)" in counter.note
    assert "TIKTOKEN_CACHE_DIR" in counter.note
    release.set()
    await asyncio.sleep(0.02)  # the load ends meanwhile, too late
    assert await counter.count(["a b c"]) == [5]


async def test_a_load_that_fails_counts_bytes() -> None:
    """No network and no file is no error: bytes bound the tokens, and the note says why."""

    def load(model: str) -> Vocabulary:
        raise ConnectionError("https://user:secret@proxy is down")

    counter = TokenCounter("gpt-x", load=load)
    assert await counter.count(["ab", "\N{SNOWMAN}", "\udc80"]) == [2, 3, 3]
    assert counter.note is not None
    assert "(ConnectionError)" in counter.note
    assert "secret" not in counter.note


async def test_a_caller_who_is_cancelled_leaves_the_others_their_count() -> None:
    """The load goes on when one of those who wait for it gives up."""
    release, words = threading.Event(), Words()

    def load(model: str) -> Vocabulary:
        release.wait(10)
        return Vocabulary("words", words)

    counter = TokenCounter("m", load=load)
    gone, stays = (asyncio.create_task(counter.count([text])) for text in ("a", "b c"))
    await asyncio.sleep(0)
    gone.cancel()
    release.set()
    assert await stays == [2]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_guessed_vocabulary_gets_a_margin() -> None:
    """Where only the newest vocabulary can be guessed, an eighth is added, and the note says so."""
    counter = TokenCounter("gpt-9", load=loading(Words(), known=False))
    assert await counter.count(["a " * 8, "a", ""]) == [9, 2, 0]
    assert counter.note is not None
    assert "counted by words" in counter.note


async def test_a_foreign_model_is_counted_by_bytes() -> None:
    """A name that says nothing of its tokenizer gets the bound by bytes, and the note says so."""
    counter = TokenCounter("mistral-x", load=lambda model: None)
    assert await counter.count(["ab c"]) == [4]
    assert counter.note == (
        "no tokenizer is known for mistral-x: tokens are bounded by the bytes of the text"
    )


@pytest.mark.usefixtures("vocabulary_file")
@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-4o-mini", True),
        ("gpt-5.1", True),
        ("ft:gpt-4o:mine", True),
        ("gpt-6-luna", False),
        ("ft:gpt-6-luna:mine", False),
        ("o9-mini", False),
    ],
)
def test_the_vocabulary_follows_the_name(model: str, known: bool) -> None:
    """A model that tiktoken knows gets its own vocabulary, a newer one of OpenAI the newest."""
    found = load_vocabulary(model)
    assert found is not None
    assert (found.name, found.known) == ("o200k_base", known)


def test_a_foreign_name_has_no_vocabulary() -> None:
    """Nothing is loaded for a name that OpenAI's models do not have."""
    pytest.importorskip("tiktoken")
    assert load_vocabulary("mistral-small") is None
    assert load_vocabulary("my-gpt-4o") is None


@pytest.mark.usefixtures("vocabulary_file")
async def test_counts_are_those_of_tiktoken() -> None:
    """Counts are the lengths of tiktoken's encodings; special tokens are text like any other."""
    import tiktoken

    encoding = tiktoken.encoding_for_model("gpt-4o")
    texts = ["It was great.", "a  b\n\n", "<|endoftext|> x", "\N{SNOWMAN}" * 3, "half \udc80", ""]
    counter = TokenCounter("gpt-4o")
    assert await counter.count(texts) == [len(encoding.encode_ordinary(text)) for text in texts]
    assert await counter.count(["<|endoftext|>"]) > [1]
    assert counter.note is None


@pytest.mark.usefixtures("vocabulary_file")
def test_bytes_bound_the_tokens() -> None:
    """No text has more tokens than bytes."""
    import tiktoken

    encoding = tiktoken.encoding_for_model("gpt-4o")

    @given(st.text(st.characters(exclude_categories=()), max_size=40))
    def bounded(text: str) -> None:
        assert len(encoding.encode_ordinary(text)) <= byte_bound(text)

    bounded()


def test_a_download_that_hangs_does_not_hold_up_the_end_of_the_program() -> None:
    """The program ends although the load still hangs on its thread."""
    code = """
import asyncio, threading
from bdpl_providers.tokens import TokenCounter
counter = TokenCounter("m", load=lambda model: threading.Event().wait(60), patience=0.01)
assert asyncio.run(counter.count(["ab"])) == [2]
"""
    path = [entry for entry in sys.path if entry]
    before = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}{code}"], check=True)
    assert time.monotonic() - before < 30


def test_importing_the_module_imports_no_tokenizer() -> None:
    """tiktoken is imported when something is counted."""
    code = "import bdpl_providers.tokens; assert 'tiktoken' not in sys.modules"
    path = [entry for entry in sys.path if entry]
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=True
    )
