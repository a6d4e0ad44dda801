"""A page about a run whose names, rows and messages try to be more than text."""

from __future__ import annotations

import stat
from pathlib import Path

import orjson
import pytest
import tomli_w

from bdpl_async.markup import clean
from tests.pagereader import Page
from tests.workbench import command

Capsys = pytest.CaptureFixture[str]
SCRIPT = "</title></style></script><script>alert(1)</script>"
HANDLER = "\"><img src=x onerror='alert(1)'>"
BIDI = "abc\u202egnp.exe\u2066\x1b[31m\x07\u200f"
LINK = "<a href='https://example.org'>x</a><link rel=stylesheet href=//example.org/x>"
ALL = SCRIPT + HANDLER + BIDI + LINK
ALLOWED = (
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "nav"),
    *("section", "div", "h1", "h2", "h3", "p", "ul", "ol", "li", "a", "span", "strong", "i"),
    *("code", "pre", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("small", "details", "summary", "figure", "figcaption"),
    *("svg", "g", "path", "defs", "clippath", "rect", "use", "text", "image", "tspan"),
)


def hostile_run(capsys: Capsys, folder: Path) -> None:
    """A run of which nothing is what it seems."""
    words = {f"0{ALL}": " bad", f"1{HANDLER}": f" {SCRIPT}"}
    values = list(words)
    lines = ["text\tlabel"]
    for n in range(24):
        text = f"{ALL} number {n} " + "x" * (60_000 if n == 3 else 5)
        lines.append(f"{text}\t{values[n % 2]}")
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    task = {
        "name": ALL,
        "train": "train.tsv",
        "dev": "dev.tsv",
        "test": "test.tsv",
        "template": f"{{prompt}} {{text}} {ALL} {{mask}}",
        "labels": words,
    }
    document = {
        "task": task,
        "prompt": {"length": 3, "vocabulary": "words.txt"},
        "optimizer": {"samples": 4, "batch": 2, "steps": 2},
        "model": {"name": f"simulated/{HANDLER}"},
    }
    (folder / "words.txt").write_text(f"{SCRIPT}\n{HANDLER}\nplain\n" + "y" * 200 + "\n")
    (folder / "task.toml").write_bytes(tomli_w.dumps(document).encode())
    done = command(capsys, "run", "task.toml", "--out", "run", "--ui", "none")
    assert done.code == 0, done.err
    with Path("run/events.jsonl").open("ab") as events:
        note = {"type": "note", "t": 1.0, "message": ALL * 300}
        retry = {"type": "retry", "t": 1.0, "attempt": 2, "wait": 1.0, "reason": ALL, "cause": ALL}
        events.writelines(orjson.dumps(one) + b"\n" for one in (note, note, retry))


def test_text_stays_text(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No element, handler, address or control character of theirs gets into the page, and its
    size is bounded; figures included."""
    monkeypatch.chdir(tmp_path)
    hostile_run(capsys, tmp_path)
    done = command(capsys, "report", "run", "--title", ALL)
    assert done.code == 0, done.err
    source = Path("run/report.html").read_text(encoding="utf-8")
    assert stat.S_IMODE(Path("run/report.html").stat().st_mode) == 0o600
    assert len(source) < 500_000
    page = Page(source)
    assert {tag for tag, _ in page.tags} <= set(ALLOWED)
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith("#") or (tag == "image" and value.startswith("data:image/png"))
    assert clean(source) == source
    assert clean(SCRIPT) in page.text
    assert clean(HANDLER) in page.text


def test_the_page_may_not_reach_out(
    capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its policy forbids scripts and all network, and its style names no address."""
    monkeypatch.chdir(tmp_path)
    hostile_run(capsys, tmp_path)
    assert command(capsys, "report", "run").code == 0
    page = Page.read("run/report.html")
    policy = [one for one in page.all("meta") if one.get("http-equiv")]
    assert [one["http-equiv"] for one in policy] == ["Content-Security-Policy"]
    assert str(policy[0]["content"]).startswith("default-src 'none'")
    assert "script" not in str(policy[0]["content"])
    source = Path("run/report.html").read_text(encoding="utf-8")
    style = source.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in style
