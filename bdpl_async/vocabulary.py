"""The words and phrases that a prompt may be made of.

The paper (Diao et al., arXiv 2201.08531, on constructing the prompt vocabulary; after T-DNA, Diao
et al., ACL 2021) wants n-grams of high pointwise mutual information: between two neighbours whose
PMI is below a threshold stands a delimiter, and what stands between delimiters is an n-gram. Its
code ranks all n-grams by frequency instead, and so proposes "the", "of the" and ", and". Here:

- Delimiters stand as in the paper, and between neighbours that too few places in the texts show
  together; a phrase begins and ends with a content word, never with a function word.
- PMI says nothing of single words, so content words are candidates too, two for each phrase.
- Both are ranked by how many texts they occur in, so that one long text decides nothing; ties by
  PMI, then by a checksum: the alphabet would fill a short list with words in A and B.
- Few texts repeat few pairs: where the list stays short, fewer places are enough.

The same texts, in any order, give the same list on every machine.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from sys import intern
from zlib import crc32

from bdpl_async.data.textfile import read_text
from bdpl_async.errors import ConfigError, DataError
from bdpl_async.stopwords import STOP_WORDS

__all__ = ["pmi_vocabulary", "read_vocabulary"]

MAX_CANDIDATES = 100_000
"""Candidates in a file; each position of a prompt keeps one probability for each."""

MAX_BYTES = 10_000_000
"""Size of a vocabulary file."""

MAX_LENGTH = 200
"""Characters in one candidate."""

_PMI_FLOOR = 2.0
"""Nats from which on neighbours belong together: about seven times as often as by chance."""

_LETTERS = r"[\w\u0300-\u036f\u0591-\u05c7\u0610-\u065f\u0900-\u0963\u0966-\u109f]+"
"""Letters, digits, and vowel signs of scripts that write vowels as marks, which \\w leaves out."""

_WORD = rf"\b(?![lr]rb\b){_LETTERS}(?:['-]{_LETTERS})*"
"""A word; lrb and rrb are brackets, as the Penn Treebank spells them."""

_RUN = re.compile(rf"{_WORD}(?:\s+{_WORD})*")
"""Words with nothing but space between them: phrases do not reach over punctuation."""

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Counts:
    """What one pass over the texts counts: words, neighbours, and texts that hold a word."""

    words: Counter[str]
    pairs: Counter[Words]
    spread: Counter[str]

    @classmethod
    def of(cls, texts: Sequence[str]) -> _Counts:
        counts = cls(Counter(), Counter(), Counter())
        for text in texts:
            runs = list(_runs(text))
            for run in runs:
                counts.words.update(run)
                counts.pairs.update(pairwise(run))
            counts.spread.update(set(chain.from_iterable(runs)))
        return counts

    def links(self, min_count: int) -> dict[Words, float]:
        """The pairs without a delimiter between them, and their PMI in nats.

        PMI is log p(l r) / p(l) p(r), each p a count over all counts of its kind.
        """
        if not self.pairs:
            return {}
        scale = math.log(self.words.total() ** 2 / self.pairs.total())
        logs = {word: math.log(count) for word, count in self.words.items()}
        found = (
            (pair, math.log(count) - logs[pair[0]] - logs[pair[1]] + scale)
            for pair, count in self.pairs.items()
            if count >= min_count
        )
        return {pair: pmi for pair, pmi in found if pmi >= _PMI_FLOOR}


def pmi_vocabulary(
    texts: Sequence[str], size: int, *, max_n: int = 3, min_count: int = 2
) -> tuple[str, ...]:
    """The `size` best candidates of the training texts, best first; fewer if there are no more.

    Args:
        texts: training texts only; what dev and test rows say must not be known.
        size: candidates wanted, at least 2.
        max_n: words in the longest phrase.
        min_count: how often neighbours must be seen together to be joined.

    Raises:
        ConfigError: `size` is below 2.
        DataError: the texts hold fewer than two content words.
    """
    if size < 2:
        raise ConfigError(f"a vocabulary of {size} leaves nothing to learn", hint="take 2 or more")
    counts = _Counts.of(texts)
    content = frozenset(filter(_is_content, counts.words))
    words = _ranked(Counter({(word,): counts.spread[word] for word in content}), {})
    phrases: dict[Words, None] = {}
    for lowest in range(max(min_count, 1), 0, -1):
        phrases |= dict.fromkeys(_ranked_phrases(texts, counts.links(lowest), content, max_n))
        if len(words) + len(phrases) >= size:
            break
    chosen = list(islice(_mixed(words, phrases), size))
    if len(chosen) < 2:
        problem = "the training texts hold fewer than two content words to make prompts of"
        raise DataError(problem, hint="give more text, or name a file as prompt.vocabulary")
    return tuple(map(" ".join, chosen))


def _mixed(words: Iterable[Words], phrases: Iterable[Words]) -> Iterator[Words]:
    """Two words, a phrase, and so on; what is left of either at the end."""
    singles, several = iter(words), iter(phrases)
    while some := [*islice(singles, 2), *islice(several, 1)]:
        yield from some


def _ranked(spread: Counter[Words], links: Mapping[Words, float]) -> list[Words]:
    """Candidates by how many texts hold them, then their weakest link, then checksum."""

    def rank(words: Words) -> tuple[int, float, int, Words]:
        weakest = min((links[pair] for pair in pairwise(words)), default=0.0)
        return -spread[words], -round(weakest, 6), crc32(" ".join(words).encode()), words

    return sorted(spread, key=rank)


def _ranked_phrases(
    texts: Sequence[str], links: Mapping[Words, float], content: Collection[str], max_n: int
) -> list[Words]:
    """The phrases of all texts, best first."""
    found = (_phrases(text, links, content, max_n) for text in texts)
    return _ranked(Counter(chain.from_iterable(found)), links)


def _phrases(
    text: str, links: Collection[Words], content: Collection[str], max_n: int
) -> set[Words]:
    """What stands between delimiters in one text, of two words or more."""
    found: set[Words] = set()
    for run in _runs(text):
        start = 0
        for end in range(1, len(run) + 1):
            if end == len(run) or (run[end - 1], run[end]) not in links:
                if end - start > 1:
                    found.update(_cut(tuple(run[start:end]), content, max_n))
                start = end
    return found


def _cut(linked: Words, content: Collection[str], max_n: int) -> Iterator[Words]:
    """Cut a chain of joined words into phrases of two to `max_n`, content words at both ends."""
    while len(linked) > 1:
        if linked[0] not in content:
            linked = linked[1:]
            continue
        phrase = linked[:max_n]
        while phrase[-1] not in content:
            phrase = phrase[:-1]
        if len(phrase) > 1 and len(" ".join(phrase)) <= MAX_LENGTH:
            yield phrase
        linked = linked[len(phrase) :]


def _runs(text: str) -> Iterator[list[str]]:
    """The lower-case words between one punctuation mark and the next.

    Each word is one object wherever it stands: millions of pairs are made of some thousand words.
    """
    plain = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'").replace("_", ".")
    return ([*map(intern, run.split())] for run in _RUN.findall(plain))


def _is_content(word: str) -> bool:
    """Whether a word says something: not a function word, number or lone Latin letter."""
    if word in STOP_WORDS or len(word) > 40:
        return False
    return any(map(str.isalpha, word)) and (len(word) > 1 or not word.isascii())


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """The candidates of a UTF-8 file, one a line, in its order, each once.

    Space around a candidate and empty lines are dropped.

    Raises:
        ConfigError: the file or a line cannot be used, or fewer than two candidates remain.
    """
    text = read_text(path, most=MAX_BYTES, hint="a vocabulary is `pmi` or a file, one word a line")
    chosen: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if candidate := line.removesuffix("\r").strip(" "):
            _check(path, number, candidate)
            chosen[candidate] = None
    if not 2 <= len(chosen) <= MAX_CANDIDATES:
        raise ConfigError(
            f"{path}: holds {len(chosen):,} different candidates",
            hint=f"a vocabulary has 2 to {MAX_CANDIDATES:,}, one a line",
        )
    return tuple(chosen)


def _check(path: Path, number: int, candidate: str) -> None:
    if len(candidate) > MAX_LENGTH:
        raise ConfigError(
            f"{path}: line {number} is longer than {MAX_LENGTH} characters",
            hint="write one word or short phrase a line",
        )
    for character in candidate:
        if unicodedata.category(character) in ("Cc", "Zl", "Zp"):
            raise ConfigError(
                f"{path}: line {number} holds the control character {character!r}",
                hint="candidates are plain text, one a line",
            )
