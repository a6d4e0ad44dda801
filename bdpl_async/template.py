"""How a prompt and the columns of a row become one text with a hole for the label word.

    "{prompt} {text} It was {mask}."

``{prompt}`` and ``{mask}`` stand once each, any other ``{name}`` is a column of the data, and
``{{`` and ``}}`` are literal braces. Nothing else is understood, on purpose: values go in as they
are. This module knows no file and no model.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from bdpl_async.errors import ConfigError, DataError
from bdpl_async.records import Text

__all__ = ["Template"]

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
"""Literal braces, a field, or a brace that stands alone; tried in this order."""

_RESERVED = ("prompt", "mask")


@dataclass(frozen=True, slots=True)
class _Field:
    """A name in braces."""

    name: str


_Part = str | _Field
_PROMPT, _MASK = _Field("prompt"), _Field("mask")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; make one with `Template.parse`.

    Attributes:
        text: the template as written.
        parts: literals and fields, in order.
        bare: what is left of `parts` where the prompt is empty.
    """

    text: str
    parts: tuple[_Part, ...]
    bare: tuple[_Part, ...]

    @classmethod
    def parse(cls, text: str, columns: Collection[str] | None = None) -> Template:
        """Read a template; with `columns`, the names the data has, check its fields too.

        Raises:
            ConfigError: a brace, field, ``{prompt}`` or ``{mask}`` is amiss; names the template.
        """
        parts = tuple(_parts(text))
        template = cls(text, parts, tuple(_without_prompt(parts)))
        for field in (_PROMPT, _MASK):
            times = parts.count(field)
            if times != 1:
                often = "no" if times == 0 else f"{times} times"
                raise _amiss(text, f"has {often} {{{field.name}}}", "it must stand exactly once")
        if not template.columns:
            raise _amiss(text, "uses no column of the data", "put one in braces, like {text}")
        if columns is not None:
            template._check(columns)
        return template

    @property
    def columns(self) -> tuple[str, ...]:
        """The data columns used, each once, in order."""
        names = (part.name for part in self.parts if isinstance(part, _Field))
        return tuple(dict.fromkeys(name for name in names if name not in _RESERVED))

    @property
    def prompt_first(self) -> bool:
        """Whether the prompt stands before the mask, where a causal model reads it."""
        return self.parts.index(_PROMPT) < self.parts.index(_MASK)

    @property
    def columns_first(self) -> bool:
        """Whether any column of the data stands before the mask."""
        before = self.parts[: self.parts.index(_MASK)]
        return any(isinstance(part, _Field) and part != _PROMPT for part in before)

    def render(self, prompt_text: str, columns: Mapping[str, str]) -> Text:
        """Fill the template; an empty prompt takes a space with it that would be left over.

        Raises:
            DataError: `columns` lacks a column that the template names.
        """
        before: list[str] = []
        after: list[str] = []
        side, end = before, 0
        spans: list[tuple[int, int]] = []
        for part in self.parts if prompt_text else self.bare:
            if part == _MASK:
                side = after
                continue
            piece = self._piece(part, prompt_text, columns)
            if isinstance(part, _Field) and part != _PROMPT and piece:
                spans.append((end, end + len(piece)))
            side.append(piece)
            end += len(piece)
        return Text("".join(before), "".join(after), tuple(spans))

    def _piece(self, part: _Part, prompt_text: str, columns: Mapping[str, str]) -> str:
        if isinstance(part, str):
            return part
        if part == _PROMPT:
            return prompt_text
        try:
            return columns[part.name]
        except KeyError:
            raise DataError(
                f"template {self.text!r} asks for {{{part.name}}}, which a row lacks",
                hint=f"columns of the row: {', '.join(columns) or 'none'}",
            ) from None

    def _check(self, known: Collection[str]) -> None:
        for name in self.columns:
            if name not in known:
                near = difflib.get_close_matches(name, [*known, *_RESERVED], n=1)
                guess = f"did you mean {{{near[0]}}}? " if near else ""
                raise _amiss(
                    self.text,
                    f"names {{{name}}}, which is no column of the data",
                    f"{guess}columns there are: {', '.join(known) or 'none'}",
                )


def _parts(text: str) -> Iterator[_Part]:
    """Cut a template into literals and fields."""
    end = 0
    for found in _BRACES.finditer(text):
        if found.start() > end:
            yield text[end : found.start()]
        yield _meaning(text, found)
        end = found.end()
    if end < len(text):
        yield text[end:]


def _meaning(text: str, found: re.Match[str]) -> _Part:
    """What one match of `_BRACES` stands for."""
    if found[0] in ("{{", "}}"):
        return found[0][0]
    name: str | None = found[1]
    place = f"at character {found.start() + 1}"
    if name is None:
        raise _amiss(text, f"has a stray {found[0]} {place}", "write {{ or }} for a literal brace")
    if not name.strip():
        raise _amiss(text, f"has an empty {found[0]} {place}", "name a column, or write {{}}")
    if name.isdigit() or name != name.strip() or re.search(r"[.!:\[\]]", name):
        hint = "braces hold a plain column name: no number, dot, conversion, format or space at end"
        raise _amiss(text, f"has {found[0]} {place}", hint)
    return _Field(name)


def _without_prompt(parts: tuple[_Part, ...]) -> Iterator[_Part]:
    """The parts without the prompt, and without the space that it leaves doubled or at an edge.

    A lone space between two things stays: it parts them, with the prompt or without it.
    """
    if parts.count(_PROMPT) != 1:
        return
    at = parts.index(_PROMPT)
    left, right = parts[:at], parts[at + 1 :]
    space_before = bool(left) and isinstance(left[-1], str) and left[-1].endswith(" ")
    space_after = bool(right) and isinstance(right[0], str) and right[0].startswith(" ")
    if space_after and (space_before or not left):
        right = (str(right[0]).lstrip(" "), *right[1:])
    elif space_before and not right:
        left = (*left[:-1], str(left[-1]).rstrip(" "))
    if len(left) == 1 and not str(left[0]).strip(" "):
        left = ()  # nothing but space stood before the prompt
    yield from (*left, *right)


def _amiss(text: str, problem: str, hint: str) -> ConfigError:
    """The error for a template that cannot be used."""
    shown = text if len(text) <= 200 else text[:197] + "..."
    return ConfigError(f"template {shown!r} {problem}", hint=hint)
