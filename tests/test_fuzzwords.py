"""Prompts, label words, names and rows that try to be more than text, through whole runs.

Every output is looked at: lines, events, pages, tables, exports, and what is said on stderr.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import category

import orjson
import pytest
import tomli_w
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bdpl_async.events import Note, Retry
from bdpl_async.studies.spreadsheet import shown
from bdpl_async.template import Template
from bdpl_cli.plaintext import escaped
from bdpl_cli.screen.armsframe import frame as arms_frame
from bdpl_cli.screen.armsview import ArmsView, ArmView
from bdpl_cli.screen.look import Look
from bdpl_cli.screen.shape import frame
from bdpl_cli.screen.view import View, fold
from tests.hostile import ALL, SPELLS, TEXTS, examples, obeyed, plain
from tests.pagereader import Page
from tests.test_events import EVALUATED, STARTED, STEP
from tests.test_reporthostile import ALLOWED
from tests.workbench import Outcome, command

Capsys = pytest.CaptureFixture[str]
World = dict[str, Any]
MARKS = "{}"
SPLITS = ("train", "dev", "test")
LOOKS = (Look.of("utf-8"), Look.of("ascii"))
HOSTILE = TEXTS.filter(str.strip)


def candidate(text: str) -> bool:
    """Whether a file of candidates may hold it: some text, without control characters."""
    whole = text.strip(" ") and len(text) <= 200
    return bool(whole) and not {"Cc", "Zl", "Zp"} & set(map(category, text))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A task all of whose texts are hostile: names, label values and words, rows, candidates."""
    values = draw(st.lists(HOSTILE, min_size=2, max_size=2, unique=True))
    words = draw(st.lists(HOSTILE, min_size=2, max_size=2, unique_by=str.strip))
    return {
        "name": draw(HOSTILE),
        "labels": dict(zip(values, words, strict=True)),
        "between": draw(TEXTS),
        "manual": draw(TEXTS),
        "model": draw(HOSTILE),
        "rows": draw(st.lists(TEXTS, min_size=2, max_size=4)),
        "candidates": draw(st.lists(TEXTS.filter(candidate), min_size=2, max_size=4)),
    }


EVERYTHING: World = {
    "name": ALL,
    "labels": {f"a{ALL}": f" b{ALL}", "=1": " \x1b[2J"},
    "between": ALL,
    "manual": ALL,
    "model": "x\x1b[2J\u202e=1",
    "rows": [ALL, "=1", "\x9b5n"],
    "candidates": list(filter(candidate, SPELLS)),
}


def build(folder: Path, world: World) -> None:
    """The task and its data in `folder`, and nothing of an earlier one."""
    for old in folder.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    values = list(world["labels"])
    texts = world["rows"]
    for number, split in enumerate(SPLITS):
        rows = [
            {"text": f"{texts[n % len(texts)]} row {number} {n}", "label": values[n % 2]}
            for n in range(10)
        ]
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "words.txt").write_bytes("\n".join(world["candidates"]).encode() + b"\nplain\nword")
    between = world["between"].replace("{", "{{").replace("}", "}}")
    document = {
        "task": {
            "name": world["name"],
            **{split: f"{split}.jsonl" for split in SPLITS},
            "template": f"{{prompt}} {{text}} {between} {{mask}}",
            "labels": world["labels"],
        },
        "prompt": {"length": 2, "vocabulary": "words.txt", "manual": world["manual"]},
        "optimizer": {"samples": 2, "batch": 2, "steps": 1, "finalists": 2},
        "model": {"name": f"simulated/{world['model']}"},
        "run": {"cache": "none"},
    }
    (folder / "task.toml").write_bytes(tomli_w.dumps(document).encode())


class Bench:
    """Runs commands and looks at what they print."""

    def __init__(self, folder: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        self.folder, self._capsys = folder, capsys

    def run(self, *words: str) -> Outcome:
        """The command, which prints nothing that a terminal obeys."""
        done = command(self._capsys, *words)
        assert plain(done.err, lines=60), (words, done.err)
        assert not obeyed(done.out), (words, done.out, obeyed(done.out))
        assert "Traceback" not in done.err
        return done

    def ran(self, world: World, *words: str) -> bool:
        """Whether the world can be run at all; else it is refused in a few lines."""
        build(self.folder, world)
        done = self.run("run", "task.toml", "--out", "run", *words)
        if done.code == 2:
            assert plain(done.err)
            return False
        assert done.code == 0, done
        return True

    def raw(self, *words: str) -> str:
        """What a command gives to another program, as it is."""
        done = command(self._capsys, *words)
        assert done.code == 0, done
        assert plain(done.err, lines=60), (words, done.err)
        return done.out


@pytest.fixture
def bench(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, capsys, monkeypatch)


def learned() -> World:
    found = orjson.loads(Path("run/result.json").read_bytes())
    assert isinstance(found, dict)
    return found


@examples(4)
@given(world=worlds(), ui=st.sampled_from(["plain", "json"]))
@example(world=EVERYTHING, ui="plain")
@example(world=EVERYTHING, ui="json")
def test_a_run_prints_text_as_text(bench: Bench, world: World, ui: str) -> None:
    """Lines and events of a run, its estimate and what follows it, are safe to look at."""
    if not bench.ran(world, "--ui", ui, "--method", "bdpl"):
        return
    result = learned()
    assert set(result["tokens"]) <= {
        *(one.strip(" ") for one in world["candidates"]),
        "plain",
        "word",
    }
    bench.run("estimate", "task.toml", "--max-prompts", "500")
    bench.run("eval", "task.toml", "--run", "run", "--split", "dev", "--examples", "3")
    told = bench.run("eval", "task.toml", "--prompt", world["manual"] or "x", "--json")
    assert told.code in (0, 2)
    for words in ((), ("--json",)):
        done = bench.run("explain", "run", *words)
        assert done.code == 0, done
        done = bench.run("transfer", "run", "--model", "simulated/y", *words, "--yes")
        assert done.code == 0, done


@examples(8)
@given(world=worlds())
@example(world=EVERYTHING)
def test_events_say_what_they_say(bench: Bench, world: World) -> None:
    """Each line of ``--ui json`` is one event, and its texts come back as they were."""
    build(bench.folder, world)
    done = bench.run("run", "task.toml", "--out", "run", "--ui", "json", "--method", "bdpl")
    if done.code == 0:
        events = [orjson.loads(line) for line in done.out.split("\n") if line]
        assert events[0]["task"] == world["name"]
        assert events[-1]["result"]["prompt"] == learned()["prompt"]
        assert events[-1]["result"]["labels"] == world["labels"]


@examples(10)
@given(world=worlds(), method=st.sampled_from(["bdpl", "manual"]))
@example(world=EVERYTHING, method="bdpl")
@example(world=EVERYTHING, method="manual")
def test_exports_come_back_exactly(bench: Bench, world: World, method: str) -> None:
    """What other programs read of an export is the prompt, to the character, and nothing runs."""
    if not bench.ran(world, "--ui", "none", "--method", method):
        return
    result = learned()
    prompt, words = result["prompt"], [word.strip() for word in result["labels"].values()]
    assert bench.raw("export", "run") == f"{prompt}\n"
    document = json.loads(bench.raw("export", "run", "--format", "json"))
    assert (document["prompt"], document["labels"]) == (prompt, world["labels"])
    row = {name: "ROW" for name in document["columns"]}
    text = Template.parse(result["template"]).render(prompt, row).causal
    body = json.loads(bench.raw("export", "run", "--format", "openai", "--model", "compatible/m"))
    said = json.dumps(body, ensure_ascii=False)
    assert json.dumps(prompt, ensure_ascii=False)[1:-1] in said
    source = bench.raw("export", "run", "--format", "dspy", "--model", "compatible/m")
    assert _constants(source)["PROMPT"] == prompt
    assert set(_constants(source)["LABELS"]) == set(words)
    parts = [p if isinstance(p, str) else "ROW" for p in _constants(source)["TEXT"]]
    assert "".join(parts) == text
    tool = bench.raw("export", "run", "--format", "promptfoo", "--model", "compatible/m")
    assert json.loads(tool)["prompts"]


def _constants(source: str) -> World:
    """The literals that a module sets; anything else in their place is an error."""
    found: World = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name.isupper():
                found[name] = ast.literal_eval(node.value)
    return found


@examples(3)
@given(world=worlds())
@example(world=EVERYTHING)
def test_pages_hold_no_more_than_text(bench: Bench, world: World) -> None:
    """No element, handler or address of theirs is in the report of a run."""
    if not bench.ran(world, "--ui", "none"):
        return
    assert bench.run("report", "run", f"--title={world['name']}").code == 0
    source = Path("run/report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert {tag for tag, _ in page.tags} <= set(ALLOWED)
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        for name in ("href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith("#") or (tag == "image" and value.startswith("data:image/png"))
    assert not obeyed(source.replace("\t", ""))


@examples(4)
@given(world=worlds())
@example(world=EVERYTHING)
def test_tables_hold_no_formulas(bench: Bench, world: World) -> None:
    """No cell of comparison.csv, comparison-runs.csv, sweep.csv or a transfer's is computed."""
    build(bench.folder, world)
    arms = ("--method", "bdpl", "--method", "manual", "--method", "empty")
    done = bench.run("compare", "task.toml", *arms, "--out", "out", "--ui", "none")
    if done.code == 2:
        return
    assert done.code == 0, done
    grid = {"task": "task.toml", "grid": {"prompt.manual": [world["manual"], "-1+1", "x"]}}
    Path("sweep.toml").write_bytes(
        tomli_w.dumps({**grid, "set": {"optimizer.method": "manual"}}).encode()
    )
    bench.run("sweep", "sweep.toml", "--out", "swept")
    run = next(Path("out").glob("*/result.json")).parent
    assert bench.run("transfer", str(run), "--model", "simulated/y", "--out", "t.csv").code == 0
    tables = [*Path().rglob("*.csv")]
    assert len(tables) >= 3
    for table in tables:
        for cell in cells(table.read_bytes().decode()):
            assert not computed(cell), (table, cell)


@examples(300)
@given(value=TEXTS)
@example(value=ALL)
@example(value="a;=1")
@example(value='a\n"=1')
def test_no_cell_is_a_formula(value: str) -> None:
    """Whatever a text holds, neither of the two ways to read a table finds a formula in it."""
    table = io.StringIO()
    csv.writer(table).writerow(["a", shown(value), "b"])
    assert not any(map(computed, cells(table.getvalue())))
    assert str(shown(value)).replace("'", "") == value.replace("'", "")


def cells(table: str) -> Iterator[str]:
    """What a spreadsheet takes for cells, where columns end at commas and where at semicolons."""
    for delimiter in (",", ";"):
        for row in csv.reader(io.StringIO(table, newline=""), delimiter=delimiter):
            yield from row


def computed(cell: str) -> bool:
    """Whether a spreadsheet would compute it: it begins with a sign and is no plain number."""
    bare = cell.strip('\ufeff\u200b\u2066\u202e\x07\x08\x7f\x1b \t\r\n\x0b\x0c\xa0\u3000"')
    if not bare.startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")):
        return False
    try:
        float(bare.split(",")[0])
    except ValueError:
        return True
    return False


@examples(40)
@given(text=TEXTS, width=st.integers(20, 160))
@example(text=ALL, width=80)
def test_screens_draw_text_as_text(text: str, width: int) -> None:
    """No frame of a run or of a comparison holds a character that a terminal obeys."""
    odds = (0.5, 0.1)
    step = replace(STEP, prompt=text, tokens=(text, text), odds=odds, spread=odds, drawn=text)
    view = View()
    for event in (
        replace(STARTED, task=text, model=text, method=text),
        replace(EVALUATED, prompt=text),
        Note(1.0, text),
        Retry(1.0, 2, 1.0, text, text),
        step,
    ):
        view = fold(view, event)
    arms = ArmsView(text, (ArmView(text, text, 0, 2, True), ArmView("x", "bdpl", 0, 2, True)))
    for look in LOOKS:
        for line in [*frame(view, width, 30, look), *arms_frame(arms, (width, 30), look)]:
            assert not obeyed(line.plain)
            assert "\n" not in line.plain


@examples(200)
@given(text=TEXTS)
@example(text=ALL)
def test_json_on_a_terminal_is_the_same_json(text: str) -> None:
    """What would be obeyed is spelled out, and whoever parses it has the text as it was."""
    said = escaped(orjson.dumps({text: text}, option=orjson.OPT_INDENT_2))
    assert not obeyed(said)
    assert json.loads(said) == {text: text}


@examples(25)
@given(texts=st.lists(TEXTS, min_size=2, max_size=6), names=st.tuples(HOSTILE, HOSTILE))
@example(texts=[ALL, ALL], names=("=1", ALL))
def test_a_draft_can_be_read(bench: Bench, texts: list[str], names: tuple[str, str]) -> None:
    """``init`` writes a task that loads, whatever columns and rows hold, or says what is amiss."""
    text, label = names
    assume(text != label)
    made = Path("made.toml")
    made.unlink(missing_ok=True)
    rows = [{text: f"{texts[n % len(texts)]} word{n}", label: texts[n % 2]} for n in range(12)]
    Path("d.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    more = ("--label", label) if label else ()
    done = bench.run("init", "d.jsonl", "--out", "made.toml", *more)
    assert done.code in (0, 2), done
    if done.code == 0:
        found = bench.run("estimate", "made.toml", "--model", "simulated/x", "--max-prompts", "400")
        assert found.code in (0, 4), (found, made.read_text())
        assert not obeyed(made.read_text().replace("\t", ""))


@examples(20)
@given(world=worlds())
@example(world=EVERYTHING)
def test_candidates_on_a_terminal(
    bench: Bench, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    """``vocab`` gives a program the candidates as they are, and a terminal only what it shows."""
    build(bench.folder, world)
    done = command(capsys, "vocab", "task.toml")
    if done.code:
        assert plain(done.err)
        return
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        assert bench.run("vocab", "task.toml").code == 0


def test_the_parts_are_hostile() -> None:
    """The texts of these tests do what they are there for: each kind of evil is in them."""
    assert {"\x1b", "\x9b", "\u202e", "\u2028", "\x07"} <= set(obeyed(ALL))
    assert sum(map(computed, SPELLS)) >= 6
