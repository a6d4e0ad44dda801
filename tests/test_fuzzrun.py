"""RUN_DIRs and comparisons that were edited by an enemy: read as they are, or refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bdpl_async.history import read_events
from bdpl_cli.main import main
from tests.documents import JSON, broken
from tests.hostile import ALL, SPELLS, TEXTS, examples, mutated, obeyed, plain
from tests.pagereader import Page
from tests.test_reporthostile import ALLOWED
from tests.workbench import TESTED, command, rows, write_task

Capsys = pytest.CaptureFixture[str]
Json = dict[str, Any]
FILES: Final = ("result.json", "answers.json", "policy.json")
COMMANDS: Final = (
    ("explain", "run"),
    ("explain", "run", "--json"),
    ("export", "run", "--format", "promptfoo", "--model", "compatible/m"),
    ("export", "run", "--format", "json"),
    ("transfer", "run", "--model", "simulated/y"),
    ("eval", "task.toml", "--run", "run", "--split", "dev", "--examples", "2"),
    ("report", "run"),
)
PIECES: Final = st.sampled_from(
    [
        *(b"NaN", b"1e400", b"9" * 400, b"null", b"true", b'"', b"{", b"[", b"}", b"]", b","),
        *(b"[" * 100_000, b'{"a":' * 5_000, b"\0", b"\xff", b"\n", b"\\ud800"),
        *(orjson.dumps(spell) for spell in SPELLS),
    ]
) | st.binary(max_size=4)
LOG: Final = "events.jsonl"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task, a finished run of it, and a comparison."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "test.tsv").write_text(rows(16, 200))
    write_task(folder, TESTED, ("[model]", '[run]\ncache = "none"\n\n[model]'))
    for words in (
        ("run", "task.toml", "--out", "run", "--ui", "none"),
        ("compare", "task.toml", "--method", "bdpl", "--method", "empty", "--out", "arms"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            with pytest.raises(SystemExit, match="0"):
                main(words)
    return folder


class Bench:
    """A copy of that folder for each example, and the commands that read it."""

    def __init__(self, folder: Path, capsys: Capsys, made: Path) -> None:
        self.folder, self._capsys, self._made = folder, capsys, made

    def renew(self) -> None:
        for name in ("run", "arms"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(self._made / name, self.folder / name)

    def holds(self, *words: str) -> None:
        """The command is done, or refuses in a few plain lines; nothing is obeyed."""
        done = command(self._capsys, *words)
        assert done.code in (0, 2, 4), (words, done)
        assert plain(done.err, lines=12 if done.code else 60), (words, done.err)
        if done.code:
            assert "bdpl-async: " in done.err
        if words[0] != "export":
            assert not obeyed(done.out), (words, done.out)
        page = Path(words[1]) / "report.html"
        if words[0] == "report" and done.code == 0:
            found = Page(page.read_text(encoding="utf-8"))
            assert {tag for tag, _ in found.tags} <= set(ALLOWED)
            assert not any(name.startswith("on") for _, one in found.tags for name in one)


@pytest.fixture
def bench(tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, made: Path) -> Bench:
    for file in ("task.toml", "train.tsv", "dev.tsv", "test.tsv"):
        shutil.copy(made / file, tmp_path / file)
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path, capsys, made)


def spelled(document: object) -> bytes:
    """As JSON; what orjson refuses as Python's own writes it."""
    import json

    return json.dumps(document).encode()


@examples(40)
@given(file=st.sampled_from(FILES), words=st.sampled_from(COMMANDS), data=st.data())
def test_any_value_in_a_run(
    bench: Bench, file: str, words: tuple[str, ...], data: st.DataObject
) -> None:
    """Any JSON at any place of a run's files is read as it is or refused by the file's name."""
    bench.renew()
    path = Path("run") / file
    document = orjson.loads(path.read_bytes())
    if data.draw(st.booleans()):
        path.write_bytes(spelled(data.draw(broken(document))))
    else:
        path.write_bytes(data.draw(mutated(path.read_bytes(), PIECES)))
    bench.holds(*words)


@examples(4)
@given(text=TEXTS, key=st.sampled_from(["prompt", "task", "model", "method", "stop_reason"]))
@example(text=ALL, key="method")
def test_any_text_in_a_result(bench: Bench, text: str, key: str) -> None:
    """Texts of a result that were changed are shown as text, or found out."""
    bench.renew()
    path = Path("run/result.json")
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {key: text}))
    for words in COMMANDS[-3:] if text == ALL else COMMANDS[-3:-1]:  # a page takes its time
        bench.holds(*words)


@examples(25)
@given(raw=st.data())
def test_any_bytes_in_a_configuration(bench: Bench, raw: st.DataObject) -> None:
    """A run.toml of any bytes is a configuration, or is refused by name."""
    bench.renew()
    path = Path("run/run.toml")
    path.write_bytes(raw.draw(mutated(path.read_bytes(), PIECES)))
    bench.holds("explain", "run")


@examples(30)
@given(data=st.data())
def test_any_log(bench: Bench, data: st.DataObject) -> None:
    """Of an event log of any bytes what can be read is read, and the page is made of that."""
    bench.renew()
    path = Path("run") / LOG
    lines = path.read_bytes().splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    lines[place] = spelled(data.draw(broken(orjson.loads(lines[place]))))
    raw = b"\n".join(lines) + b"\n"
    path.write_bytes(data.draw(st.just(raw) | mutated(raw, PIECES)))
    assert len(read_events(path)) <= len(path.read_bytes().split(b"\n"))
    if data.draw(st.integers(0, 29)) == 29:  # a page takes its time
        bench.holds("report", "run")


@examples(30)
@given(data=st.data())
@example(data=None)
def test_any_value_in_a_comparison(bench: Bench, data: st.DataObject | None) -> None:
    """Any JSON at any place of comparison.json is shown as it is or refused by its name."""
    bench.renew()
    path = Path("arms/comparison.json")
    document: Json = orjson.loads(path.read_bytes())
    if data is None:
        document["notes"] = [ALL]
        document["task"] = ALL
        path.write_bytes(spelled(document))
    elif data.draw(st.booleans()):
        path.write_bytes(spelled(data.draw(broken(document))))
    else:
        path.write_bytes(data.draw(mutated(path.read_bytes(), PIECES)))
    bench.holds("report", "arms")


@examples(100)
@given(found=JSON)
def test_any_event(found: object, tmp_path: Path) -> None:
    """A line of any JSON is an event or is left out."""
    path = tmp_path / LOG
    path.write_bytes(b'{"type":"step"}\n' + spelled(found) + b"\n[\n")
    assert len(read_events(path)) <= 1
