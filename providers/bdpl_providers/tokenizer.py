"""A model's own tokenizer on this machine, from its ``tokenizer.json``; nothing is downloaded.

Counts are then exact, and label words are resolved without asking the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bdpl_async.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["LocalTokenizer", "find_tokenizer"]

FILE = "tokenizer.json"
# Characters encoded on the loop: so many take about 1 ms, a hop to a thread 0.1 ms.
INLINE = 2_000


class LocalTokenizer:
    """Encodes as the server does, special tokens included.

    Args:
        path: a ``tokenizer.json``, or a folder that holds one.

    Raises:
        ConfigError: there is no such file, or it is no tokenizer.
        UsageError: the library is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / FILE if path.is_dir() else path
        self._tokenizer = _loaded(self.path)
        self.note: str | None = None

    @property
    def fingerprint(self) -> str:
        """Tells this file from another one, or from itself before it was changed."""
        found = self.path.stat()
        return f"{self.path} {found.st_size} {found.st_mtime_ns}"

    async def encode(self, strings: Sequence[str]) -> list[list[int]]:
        """The token ids of each string."""
        if sum(map(len, strings)) <= INLINE:
            return self._encoded(strings)
        return await asyncio.to_thread(self._encoded, strings)

    async def count(self, strings: Sequence[str]) -> list[int]:
        """Tokens of each string."""
        return [len(ids) for ids in await self.encode(strings)]

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Each token as the vocabulary writes it."""
        return tuple(str(self._tokenizer.id_to_token(token)) for token in ids)

    def _encoded(self, strings: Sequence[str]) -> list[list[int]]:
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in strings]
        return [self._tokenizer.encode(text).ids for text in clean]


def find_tokenizer(configured: str | None, model: str) -> LocalTokenizer | None:
    """The tokenizer that the configuration names, or that lies in a folder that `model` names.

    Raises:
        ConfigError: what the configuration names is no tokenizer.
        UsageError: the library is missing.
    """
    if configured is not None:
        return LocalTokenizer(Path(configured).expanduser())
    # A name such as `tiny` could be any folder that happens to lie here; a path is meant.
    folder = Path(model).expanduser()
    if "/" in model and (folder / FILE).is_file() and _installed():
        return LocalTokenizer(folder)
    return None


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("tokenizers") is not None


def _loaded(path: Path) -> Tokenizer:
    if not path.is_file():
        raise ConfigError(
            f"model.tokenizer: there is no file {path}",
            hint="name a tokenizer.json, or the model's folder with one in it",
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UsageError(
            "model.tokenizer: the library 'tokenizers' is not installed",
            hint="pip install 'bdpl-async[local]'",
        ) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception for a file it cannot read
        raise ConfigError(f"model.tokenizer: {path} is no tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
