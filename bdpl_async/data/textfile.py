"""Small UTF-8 files that a user wrote: read whole, within a limit, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

from bdpl_async.errors import ConfigError

__all__ = ["exists", "read_text"]


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; never an error, whatever the name holds."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def read_text(path: Path, *, most: int, hint: str) -> str:
    """The file's text, without a byte order mark.

    Args:
        path: the file; endless ones are no danger, no more than the limit is read.
        most: bytes.
        hint: what the file should be, for the message.

    Raises:
        ConfigError: it cannot be read, is larger than `most`, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{str(path)[:200]}: cannot be read: {reason}", hint=hint) from None
    if len(raw) > most:
        raise ConfigError(f"{path}: larger than {most:,} bytes", hint=hint)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}: line {line}: not UTF-8 text (byte {error.start:,})", hint=hint
        ) from None
