"""The rules of `bdpl_async.vocabulary`: content words and phrases, never "the" or "of the"."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.data.datafile import read_rows
from bdpl_async.errors import ConfigError, DataError
from bdpl_async.stopwords import STOP_WORDS
from bdpl_async.vocabulary import pmi_vocabulary, read_vocabulary

SHARED = Path(__file__).parents[2] / "shared" / "data"

FILMS = [
    "the special effects of the film are the best of the year",
    "a film of special effects, and of the plot there is none",
    "it is a dull story of the sea and the wind",
    "the wind of change is a fine film",
    "he plays the part of the king in a fine story",
    "rock and roll in the city, and the year is over",
    "the king of rock and roll plays in the sea of the city",
]


def test_neighbours_that_belong_together_are_one_candidate() -> None:
    """A pair seen together far more often than by chance is a phrase, also around a "and"."""
    others = [
        f"the {word}ing of {word}s and a {word}" for word in ("walk", "talk", "farm", "paint")
    ]
    found = pmi_vocabulary(FILMS + others * 8, 50)
    assert "special effects" in found
    assert "rock and roll" in found


def test_function_words_are_no_candidates() -> None:
    """Neither "the" nor "of the" is proposed, though nothing is more frequent."""
    for candidate in pmi_vocabulary(FILMS, 500):
        words = candidate.split(" ")
        assert words[0] not in STOP_WORDS
        assert words[-1] not in STOP_WORDS


def test_words_are_ranked_by_the_texts_that_hold_them() -> None:
    """One text that repeats a word a hundred times does not make it important."""
    texts = ["noise " * 100, "a calm sea", "the sea again", "to sea"]
    assert pmi_vocabulary(texts, 2)[0] == "sea"


def test_phrases_do_not_reach_over_punctuation() -> None:
    """Words on two sides of a comma, bracket or number are no neighbours."""
    found = pmi_vocabulary(["warm, bread -lrb- salted -rrb- butter; 1999 jam"] * 5, 50)
    assert set(found) == {"warm", "bread", "salted", "butter", "jam"}


def test_phrases_have_a_longest_length() -> None:
    """A chain of joined words is cut into phrases of at most `max_n`."""
    found = pmi_vocabulary(
        ["one big fat greek wedding cake shop story", "x y z " * 40], 50, max_n=2
    )
    assert max(len(candidate.split(" ")) for candidate in found) == 2


def test_few_texts_lower_the_count_that_phrases_need() -> None:
    """Where the words do not fill the list, pairs seen once come after all those seen twice."""
    texts = [
        "green tea",
        "green tea",
        "the cold rain",
        "a slow train",
        "the old house",
        "far hills",
    ]
    short, long = pmi_vocabulary(texts, 8), pmi_vocabulary(texts * 5 + ["warm bread"], 500)
    assert [candidate for candidate in short if " " in candidate] == ["green tea"]
    assert "warm bread" in long


def test_words_of_any_script_are_words() -> None:
    """Accents, inner apostrophes and hyphens, and vowel signs belong to their word."""
    text = "L\u2019été naïve well-made don't rock_n_roll हिन्दी"
    assert set(pmi_vocabulary([text], 50)) >= {"l'été", "naïve", "well-made", "हिन्दी", "rock"}


@given(st.lists(st.text(alphabet="ab ,.the-'"), max_size=8), st.integers(2, 20))
def test_the_order_of_texts_does_not_matter(texts: list[str], size: int) -> None:
    """The same texts give the same list, however they are shuffled."""
    texts = [*texts, "some content words", "more content here"]
    assert pmi_vocabulary(texts, size) == pmi_vocabulary(texts[::-1], size)


@given(st.lists(st.text(), max_size=8), st.integers(2, 20))
def test_candidates_are_clean(texts: list[str], size: int) -> None:
    """Whatever the texts: at most `size` candidates, all different, with single inner spaces."""
    try:
        found = pmi_vocabulary(texts, size)
    except DataError:
        return
    assert 2 <= len(set(found)) == len(found) <= size
    for candidate in found:
        assert candidate == " ".join(candidate.split())
        assert any(map(str.isalpha, candidate))


@pytest.mark.parametrize("texts", [[], [""], ["the of and"], ["123 45"], ["lonely"]])
def test_texts_without_content_are_refused(texts: list[str]) -> None:
    """Fewer than two candidates leave nothing to learn."""
    with pytest.raises(DataError, match="fewer than two"):
        pmi_vocabulary(texts, 10)


def test_a_size_below_two_is_refused() -> None:
    """A vocabulary of one is a configuration error."""
    with pytest.raises(ConfigError, match="nothing to learn"):
        pmi_vocabulary(FILMS, 1)


@pytest.mark.parametrize("name", ["k-shot/SST-2/16-13/train.tsv", "sst2/train.tsv"])
def test_film_reviews_give_film_words(name: str) -> None:
    """From 32 reviews as from thousands come 200 words of the trade, and no function words."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs the shared data set {path}")
    found = pmi_vocabulary([row["text"] for row in read_rows(path, ["text"])], 200)
    assert len(found) == 200
    assert {"film", "movie", "characters", "performance"} <= set(found[:150])
    assert not STOP_WORDS & set(found)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "words.txt"
    path.write_bytes(content)
    return path


def test_a_file_gives_its_lines_in_order(tmp_path: Path) -> None:
    """One candidate a line; space around it, empty lines and repetitions are dropped."""
    content = "\ufeffgood film\r\n\n  fine \nété\ngood film\nlast".encode()
    assert read_vocabulary(write(tmp_path, content)) == ("good film", "fine", "été", "last")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds 0 different"),
        (b"one\none\n", "holds 1 different"),
        (b"one\ntwo\tthree\n", r"line 2 holds the control character '\\t'"),
        ("one\ntwo\u2028three".encode(), "line 2 holds the control character"),
        (b"one\n" + b"x" * 201, "line 2 is longer than 200"),
        (b"one\ntw\xff", "line 2: not UTF-8 text \\(byte 6\\)"),
        (b"x" * 10_000_001, "larger than 10,000,000"),
        (b"\n".join(b"%d" % i for i in range(100_001)), "holds 100,001 different"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: bytes, problem: str) -> None:
    """Each problem is a ConfigError with file, line and what to do."""
    path = write(tmp_path, content)
    with pytest.raises(ConfigError, match=problem) as caught:
        read_vocabulary(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["none.txt", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A missing file, a folder and an impossible name are ConfigErrors."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read_vocabulary(tmp_path / name)


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """Any file either gives two or more candidates or a ConfigError."""
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_bytes(raw)
    with suppress(ConfigError):
        assert len(read_vocabulary(path)) >= 2
