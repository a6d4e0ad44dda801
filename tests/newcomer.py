"""Reads a page of documentation as a newcomer does: writes its files, runs its commands in order.

    ```sh       every line that calls bdpl-async is run; `export` sets a variable
    ```python   is run; a name that one block makes, the next one knows
    ```toml     is checked: a task as a task, other keys as a change to one
    <!-- file: NAME -->   the block behind it is written to NAME, and not run
    <!-- exit 4 -->       the last command of the block behind it exits so
    <!-- prints -->       the block behind it is what was printed last; ... stands for anything

What a machine without network cannot do as it stands is said by the caller, in tables: text that
is replaced, arguments that are added, lines that are not run and why.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final

import pytest

from bdpl_async.config import Config, builtin_tasks, load_config
from tests.workbench import command

__all__ = ["Block", "Newcomer", "blocks", "calls", "lines"]

FENCE: Final = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
SECONDS: Final = re.compile(r"\d+(\.\d+)? s\b")
TOOL: Final = "bdpl-async"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and what stands in the comment before it."""

    language: str
    text: str
    mark: str = ""

    @property
    def file(self) -> str | None:
        """The name under which it is to be written."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None

    @property
    def code(self) -> int:
        """The exit code of its last command."""
        return int(self.mark.removeprefix("exit ")) if self.mark.startswith("exit ") else 0


def blocks(page: str) -> Iterator[Block]:
    """All fenced blocks of a page, in order."""
    for found in FENCE.finditer(page):
        yield Block(found["language"], found["text"], found["mark"] or "")


def lines(block: Block) -> list[str]:
    """The commands of a block: continued lines are joined, comments and empty lines left out."""
    joined = re.sub(r"\\\n\s*", "", block.text)
    return [line.strip() for line in joined.splitlines() if line.strip() and line.strip()[0] != "#"]


def calls(page: str) -> list[str]:
    """The lines of a page that call the tool."""
    found = (lines(block) for block in blocks(page) if block.language == "sh")
    return [line for some in found for line in some if line.startswith(TOOL + " ")]


@dataclass
class Newcomer:
    """Somebody who does all that a page says, in the present folder.

    Attributes:
        instead: text of commands, files and programs -> what stands in its place here.
        more: how a command begins -> what is added to it.
        not_run: how a line begins -> why it is not run.
        done_by: how a line begins -> what does it here.
        seen: beginnings that were met, so that no table holds what no page says.
    """

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    instead: dict[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)
    done_by: Mapping[str, Callable[[Newcomer], None]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    printed: str = ""
    names: dict[str, object] = field(default_factory=dict)

    def follow(self, page: str) -> None:
        """Do what the page says, from its beginning to its end."""
        for block in blocks(page):
            if block.file is not None:
                Path(block.file).parent.mkdir(parents=True, exist_ok=True)
                Path(block.file).write_text(self._here(block.text), encoding="utf-8")
            if block.mark == "prints":
                self._compare(block.text)
            elif block.language == "sh":
                self._type(block)
            elif block.language == "python" and block.file is None:
                self._run(self._here(block.text))
            elif block.language == "toml":
                self._check(block)

    def _here(self, text: str) -> str:
        for old, new in self.instead.items():
            text = text.replace(old, new)
        return text

    def _type(self, block: Block) -> None:
        *before, last = lines(block)
        for line in before:
            self._line(line, 0)
        self._line(last, block.code)

    def _line(self, line: str, code: int) -> None:
        if self._start(line, self.not_run) is not None:
            return
        if (known := self._start(line, self.done_by)) is not None:
            self.done_by[known](self)
            return
        words = shlex.split(self._here(line), comments=True)
        if words[0] == "export":
            self.monkeypatch.setenv(*words[1].split("=", 1))
            return
        assert words[0] == TOOL, f"nobody runs this line, and nobody says why: {line}"
        self._call(line, words[1:], code)

    def _call(self, line: str, words: list[str], code: int) -> None:
        target = None
        if ">" in words:
            words, (target,) = words[: words.index(">")], words[words.index(">") + 1 :]
        if (known := self._start(line, self.more)) is not None:
            words += shlex.split(self._here(self.more[known]))
        done = command(self.capsys, *words)
        assert done.code == code, f"{line}\n{done.out}{done.err}"
        assert target is None or done.out, f"{line}: nothing to write"
        if target is not None:
            Path(target).write_text(done.out, encoding="utf-8")
        self.printed = done.out + done.err

    def _start(self, line: str, table: Mapping[str, object]) -> str | None:
        """The longest key of `table` that `line` begins with."""
        found = max((start for start in table if line.startswith(start)), key=len, default=None)
        if found is not None:
            self.seen.add(found)
        return found

    def _run(self, program: str) -> None:
        """A program, or a cell of a notebook, which may await."""
        printed = StringIO()
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(program, "a page", "exec", flags=flags)
        with redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, self.names))  # noqa: S307  the page's own text
            else:
                exec(code, self.names)  # noqa: S102  the page's own text
        self.printed = printed.getvalue()

    def _check(self, block: Block) -> None:
        """A task by its file; what is none of ours is TOML; the rest are keys of a task."""
        document = tomllib.loads(block.text)
        if "task" in document and block.file is not None and "grid" not in document:
            load_config(Path(block.file))
        elif document.keys() <= set(Config.model_fields):
            tables = load_config(builtin_tasks()["reviews"]).model_dump(exclude_unset=True)
            for name, table in document.items():
                tables[name] = table if isinstance(table, list) else tables.get(name, {}) | table
            Config.check(tables, source="a page")

    def _compare(self, wanted: str) -> None:
        """The lines of the page are lines that were printed, seconds aside."""
        shown, got = (_timeless(text) for text in (wanted, self.printed))
        same = doctest.OutputChecker().check_output(shown, got, doctest.ELLIPSIS)
        assert same, f"the page says\n{wanted}\nand what is printed is\n{self.printed}"


def _timeless(text: str) -> str:
    return SECONDS.sub("? s", "".join(line.rstrip() + "\n" for line in text.rstrip().splitlines()))
