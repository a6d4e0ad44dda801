"""A page as a browser would find it, and a finished run to make one of."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bdpl_cli.page.material import Material, gather
from tests.workbench import command, rows, write_task

VOID = {"meta", "br", "hr", "img", "input", "link"}
TESTED = ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"')


class Page(HTMLParser):
    """Tags, attributes and text of a page; a tag that closes another one's is an error."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    @classmethod
    def read(cls, file: str | Path) -> Page:
        return cls(Path(file).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of every element of that name."""
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def ids(self) -> list[str]:
        return [found for _, one in self.tags if (found := one.get("id")) is not None]


def run_with_test(
    capsys: pytest.CaptureFixture[str], folder: Path, *options: str, out: str = "run"
) -> Path:
    """A run with a test split below `folder`, which has to be the current one."""
    (folder / "test.tsv").write_text(rows(16, 200))
    write_task(folder, TESTED)
    done = command(capsys, "run", "task.toml", "--out", out, "--ui", "none", *options)
    assert done.code == 0, done.err
    return folder / out


def material_of(run: Path, **changes: Any) -> Material:
    """What a page about the run is made of, with other values in its result."""
    found = gather(run, None, examples=25)
    result = replace(found.result, **changes)
    explained = replace(found.explained, kept=replace(found.kept, result=result))
    return replace(found, explained=explained)
