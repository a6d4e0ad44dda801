"""How a model reads label words, as far as its tokenizer lies on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from pathlib import Path

from bdpl_async.drafting.labelwords import Key, first_word
from bdpl_async.errors import UsageError

__all__ = ["BUILTIN", "MASKED", "WINDOWS", "word_key"]

BUILTIN = "roberta/builtin"
MASKED = ("roberta", "simulated")
"""Providers whose models read what stands behind the mask too; all others read up to it."""
WINDOWS = {BUILTIN: 256}
"""Tokens that a model reads, where that is known without loading it."""


def word_key(model: str) -> tuple[Key, str | None]:
    """What tells label words apart for this model, and what a person should know of it.

    Raises:
        ConfigError: the name is no PROVIDER/NAME.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_providers import providers
    from bdpl_providers.tokenizer import LocalTokenizer

    provider, _, name = model.partition("/")
    if provider not in providers() or not name:
        raise ConfigError(
            f"--model {model!r}: not PROVIDER/NAME",
            hint=f"for example {BUILTIN}; providers: {', '.join(providers())}",
        )
    folder = _folder(model)
    if folder is None:
        known = (
            f"the tokens of {model} are not known here: bdpl-async probe TASK shows whether the"
            " label words will do"
        )
        return first_word, None if provider == "simulated" else known
    try:
        tokenizer = LocalTokenizer(folder)
    except UsageError:
        return first_word, f"{model} needs the extra: pip install 'bdpl-async[local]'"
    around = len(asyncio.run(tokenizer.encode([""]))[0])

    def token(word: str) -> Hashable | None:
        """The one token of a word, for a masked model."""
        ids = asyncio.run(tokenizer.encode([word]))[0]
        return ids[around // 2] if len(ids) == around + 1 else None

    return token, None


def _folder(model: str) -> Path | None:
    """Where the masked model lies on this machine."""
    if model == BUILTIN:
        import bdpl_providers

        return Path(bdpl_providers.__file__).with_name("builtin")
    provider, _, name = model.partition("/")
    folder = Path(name).expanduser()
    return folder if provider == "roberta" and (folder / "tokenizer.json").is_file() else None
