"""The rules of `bdpl_cli.cache`, and of `bdpl_async.caching.care` under it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from cyclopts import App

from bdpl_async.caching.place import Place
from bdpl_async.caching.table import SCHEMA, Table
from bdpl_async.errors import ConfigError
from tests.cachekit import content, keys, overwrite, read, rows, write

NOW = 1_800_000_000
DAY = 86_400
TOKENS = 13  # of an entry of `cachekit`

app = App(name="cache")
for name in ("stats", "prune", "verify"):
    app.command(f"bdpl_cli.cache:{name}")


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, object]:
        found = orjson.loads(self.out)
        assert isinstance(found, dict)
        return found


Call = Callable[..., Answer]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def call(path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """`cache ...` on the file of this test, at a fixed time."""
    monkeypatch.setattr("time.time", lambda: NOW)

    def run(*words: str) -> Answer:
        arguments = [*words, "--cache", str(path)]
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        said = capsys.readouterr()
        return Answer(code or 0, said.out, said.err)

    return run


def fill(path: Path, ages: Sequence[float]) -> list[bytes]:
    """A cache whose entries are so many days old."""
    place = Place(path)
    place.prepare()
    table = Table(place.path)
    known = keys(len(ages))
    for key, age in zip(known, ages, strict=True):
        table.write(rows([key]), round(NOW - age * DAY))
    table.close()
    return known


def spoil_row(path: Path, key: bytes) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE answers SET value = replace(value, '1', '2') WHERE key = ?", (key,))
    db.close()


# stats


def test_a_missing_cache_is_an_empty_one(call: Call, path: Path) -> None:
    """stats, prune and verify of no file are fine, and make none."""
    assert call("stats").out.startswith(f"{path}: not there yet")
    assert call("stats", "--json").document == {
        "path": str(path),
        "entries": 0,
        "bytes": 0,
        "oldest": None,
        "newest": None,
        "schema": None,
        "prompts": 0,
        "tokens": 0,
    }
    assert call("prune", "--max-entries", "1", "--json").document["removed"] == 0
    assert call("verify").code == 0
    assert list(path.parent.iterdir()) == []


def test_stats_counts_and_dates(call: Call, path: Path) -> None:
    """Entries, bytes on disk, the oldest and the newest day, and the schema."""
    fill(path, [400, 0, 30])
    document = call("stats", "--json").document
    assert document.pop("prompts") == 3
    assert document.pop("tokens") == 3 * TOKENS
    assert document == {
        "path": str(path),
        "entries": 3,
        "bytes": path.stat().st_size,
        "oldest": "2025-12-11T08:00:00+00:00",
        "newest": "2027-01-15T08:00:00+00:00",
        "schema": SCHEMA,
    }
    answer = call("stats")
    assert f"3 answers, {path.stat().st_size / 1000:.0f} kB" in answer.out
    assert "0.0 to 400.0 days old, from 2025-12-11 to 2027-01-15" in answer.out
    assert f"again spares 3 prompts and {3 * TOKENS} tokens" in answer.out


def test_what_was_found_out_about_a_server_spares_no_prompt(call: Call, path: Path) -> None:
    """Records are entries, but no answers; a row that is not ours is worth nothing."""
    known = fill(path, [1, 2])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE answers SET value = ? WHERE key = ?", (b"+what it can", known[0]))
    db.close()
    document = call("stats", "--json").document
    assert (document["entries"], document["prompts"], document["tokens"]) == (2, 1, TOKENS)


def test_stats_counts_what_a_run_is_writing(call: Call, path: Path) -> None:
    """What lies in the log of a run under way counts, in entries and in bytes."""
    fill(path, [1])
    table = Table(path)
    table.write(rows(keys(50, "more")), NOW)
    log = path.with_name("cache.db-wal").stat().st_size
    document = call("stats", "--json").document
    assert document["entries"] == 51
    assert document["bytes"] == path.stat().st_size + log
    table.close()


# prune


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_prune_needs_to_know_what_may_go(call: Call, words: list[str]) -> None:
    """Without a criterion nothing is removed: exit 2, and the message names the options."""
    with pytest.raises(ConfigError, match=r"(?s)prune.*--older-than or --max-entries or --max-mb"):
        call("prune", *words)


@pytest.mark.parametrize(
    "word",
    ["--older-than=-1", "--max-entries=-1", "--max-mb=-0.5", "--max-mb=nan", "--older-than=inf"],
)
def test_prune_refuses_what_is_no_amount(call: Call, word: str) -> None:
    """A criterion below zero, or none that a number can meet, is bad usage."""
    with pytest.raises(ConfigError, match=r"must be 0 or more"):
        call("prune", word)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--older-than", "10"], [1, 3]),
        (["--older-than", "0.5"], []),
        (["--max-entries", "1"], [1]),
        (["--max-entries", "9"], [0, 1, 2, 3]),
        (["--older-than", "30", "--max-entries", "2"], [1, 3]),
    ],
)
async def test_prune_removes_the_oldest(
    call: Call,
    path: Path,
    words: list[str],
    left: list[int],
) -> None:
    """What is too old, or too many, goes, the oldest first, and it says how many."""
    known = fill(path, [20, 1, 40, 2])
    document = call("prune", *words, "--json").document
    assert document["removed"] == 4 - len(left)
    assert document["entries"] == len(left)
    assert set(await content(path, known)) == {known[number] for number in left}


@pytest.mark.parametrize(
    "words",
    [
        ["--older-than", "10"],
        ["--max-entries", "1"],
        ["--max-entries", "9"],
        ["--older-than", "30", "--max-entries", "2"],
    ],
)
def test_a_dry_run_says_what_would_go(call: Call, path: Path, words: list[str]) -> None:
    """As many as then go, and none of them yet."""
    fill(path, [20, 1, 40, 2])
    dry = call("prune", *words, "--dry-run", "--json").document
    assert (dry["entries"], dry["dry_run"]) == (4, True)
    said = call("prune", *words, "--dry-run").out
    assert f"{dry['removed']} answers of 4 would go; nothing was removed" in said.replace(
        "1 answer of", "1 answers of"
    )
    assert call("prune", *words, "--json").document["removed"] == dry["removed"]


def test_a_dry_run_by_size_is_about_right(call: Call, path: Path) -> None:
    """It says so; what is in the file decides how many go."""
    fill(path, [number / 100 for number in range(2_000)])
    size = call("stats", "--json").document["bytes"]
    assert isinstance(size, int)
    half = ("--max-mb", str(size / 2e6))
    dry = call("prune", *half, "--dry-run", "--json").document["removed"]
    assert "about" in call("prune", *half, "--dry-run").out
    assert call("prune", *half, "--json").document["removed"] == pytest.approx(dry, rel=0.15)


async def test_prune_gives_the_room_back(call: Call, path: Path) -> None:
    """Under --max-mb the file is no larger than asked, not much smaller, the newest staying."""
    known = fill(path, [number / 100 for number in range(2_000)])
    answer = call("prune", "--max-mb", "0.1")
    assert "answers removed" in answer.out
    document = call("stats", "--json").document
    assert isinstance(document["bytes"], int)
    assert 80_000 < document["bytes"] <= 100_000
    assert list(path.parent.glob("*-wal")) == []
    count = document["entries"]
    assert isinstance(count, int)
    assert set(await content(path, known)) == set(known[:count])


# verify


def test_a_sound_cache_is_told_so(call: Call, path: Path) -> None:
    """Exit 0, and how many answers are in order."""
    fill(path, [1, 2])
    answer = call("verify")
    assert (answer.code, answer.out) == (0, f"{path}\n  2 answers in order\n")
    assert call("verify", "--json").document == {
        "path": str(path),
        "fine": True,
        "entries": 2,
        "bad": 0,
        "damage": None,
        "repaired": False,
        "aside": None,
    }


async def test_bad_rows_are_counted_and_removed(call: Call, path: Path) -> None:
    """A changed digit is found: exit 1; with --repair such rows go, the others stay, exit 0."""
    known = fill(path, [1, 2, 3])
    spoil_row(path, known[0])
    answer = call("verify")
    assert answer.code == 1
    assert "1 bad row found" in answer.out
    assert "--repair" in answer.out
    answer = call("verify", "--repair", "--json")
    assert answer.code == 0
    assert answer.document["bad"] == 1
    assert call("verify", "--json").document["entries"] == 2
    assert set(await content(path, known)) == set(known[1:])


async def test_a_damaged_file_gives_what_it_still_has(call: Call, path: Path) -> None:
    """Pages that broke cost their rows alone: the rest is saved, the old file kept beside."""
    known = fill(path, [1.0] * 2_000)
    spoilt = bytearray(read(path))
    middle = len(spoilt) // 2048 // 2 * 2048
    spoilt[middle : middle + 2048] = b"\xff" * 2048
    write(path, bytes(spoilt))
    answer = call("verify")
    assert answer.code == 1
    assert "damaged" in answer.out
    assert read(path) == spoilt
    document = call("verify", "--repair", "--json").document
    assert document["aside"] == f"{path}.corrupt-1"
    assert read(Path(f"{path}.corrupt-1")) == spoilt
    assert isinstance(document["entries"], int)
    assert 1_900 < document["entries"] <= 2_000
    assert len(await content(path, known)) == document["entries"]
    assert call("verify").code == 0


def test_a_file_that_is_no_database(call: Call, path: Path) -> None:
    """verify says so: exit 1; stats and prune refuse and name the cure; --repair begins anew."""
    fill(path, [1])
    overwrite(path, 0)
    for words in (["stats"], ["prune", "--max-entries", "1"]):
        with pytest.raises(ConfigError, match=r"(?s)not a database.*verify --repair"):
            call(*words)
    assert call("verify").code == 1
    answer = call("verify", "--repair")
    assert answer.code == 0
    assert "cache.db.corrupt-1" in answer.out
    assert call("stats", "--json").document["entries"] == 0


def test_a_cache_in_use_is_not_pulled_away(
    call: Call,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a run has the damaged file open, --repair says so and changes nothing."""
    monkeypatch.setattr("bdpl_async.caching.place.PATIENCE", 0.02)
    fill(path, [1])
    overwrite(path, 0)
    run = Place(path)
    run.hold()
    with pytest.raises(OSError, match="another process uses it") as caught:
        call("verify", "--repair")
    assert caught.value.filename == str(path)
    assert list(path.parent.glob("*corrupt*")) == []
    run.release()


def test_another_programs_database_is_left_alone(call: Call, path: Path) -> None:
    """No command touches a database that is not ours."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious (x)")
    db.close()
    before = path.read_bytes()
    for words in (["stats"], ["prune", "--max-mb", "0"], ["verify", "--repair"]):
        with pytest.raises(ConfigError, match="another program"):
            call(*words)
    assert path.read_bytes() == before


@pytest.mark.parametrize("setting", ["none", "", "redis://localhost"])
def test_a_setting_without_a_file_is_refused(setting: str) -> None:
    """There is nothing to look at in `none`, and redis is not a file."""
    with pytest.raises(ConfigError, match="--cache"):
        app(["stats", "--cache", setting], exit_on_error=False, result_action="return_value")


def test_without_a_path_it_is_the_default_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands look where runs keep their answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    app(["stats", "--json"], exit_on_error=False, result_action="return_value")
    expected = tmp_path / "bdpl-async" / "cache.db"
    assert orjson.loads(capsys.readouterr().out)["path"] == str(expected)
