"""Keys set from outside the file: ``table.key=value`` on a command line, dotted in Python."""

from __future__ import annotations

import re
import tomllib

from bdpl_async.errors import ConfigError

__all__ = ["Value", "lay_over", "parse_override"]

Value = str | int | float | bool | None


def parse_override(assignment: str) -> tuple[str, Value]:
    """``table.key=value`` with a TOML value; what is no TOML value is taken as text.

    Raises:
        ConfigError: no ``=``, or a key that is not ``table.key``.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not re.fullmatch(r"[a-z_]+(\.[\w-]+)+", key.strip()):
        raise ConfigError(
            f"--set {assignment[:80]}: not of the form table.key=value",
            hint="for example --set optimizer.samples=20",
        )
    value = _toml_value(text)
    if isinstance(value, dict | list):
        raise ConfigError(
            f"--set {assignment[:80]}: a single value is needed, not a table or a list",
            hint="set its keys one by one, or put the text in quotes: '\"...\"'",
        )
    return key.strip(), value if isinstance(value, str | int | float | bool) else text


def _toml_value(text: str) -> object:
    """What `text` means right of an equals sign, or `text` where it means nothing there."""
    try:
        tables: dict[str, object] = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tables["value"] if len(tables) == 1 else text  # a line break may open another key


def lay_over(tables: dict[str, object], dotted: str, value: Value) -> None:
    """Lay one override over the tables; None takes the key out."""
    *parents, key = dotted.split(".")
    target: object = tables
    for table in parents:
        target = target.setdefault(table, {}) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise ConfigError(f"{dotted}: {'.'.join(parents)} is not a table")
    if value is None:
        target.pop(key, None)
    else:
        target[key] = value
