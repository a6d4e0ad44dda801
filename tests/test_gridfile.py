"""SWEEP.toml: what it may say, and that everything else is refused by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdpl_async.errors import ConfigError
from bdpl_async.overrides import Value
from bdpl_async.studies.grid import Sweep
from bdpl_async.studies.gridfile import read_sweep

PATHS = ("prompt.vocabulary", "run.data")
GOOD = """\
task = "reviews"
[set]
"optimizer.steps" = 100
prompt.length = 5
[grid]
"task.k_shot" = [4, 8]
"run.seed" = [0, 1, 2]
[grid.optimizer]
loss = ["ce", "hinge"]
"""


def read(folder: Path, text: str, given: dict[str, Value] | None = None) -> Sweep:
    path = folder / "s.toml"
    path.write_text(text, encoding="utf-8")
    return read_sweep(path, given=given, paths=PATHS)


def test_keys_may_be_dotted_or_in_tables(tmp_path: Path) -> None:
    """However keys are written, they are the same dotted keys, in the order of the file."""
    sweep = read(tmp_path, GOOD)
    assert sweep.shared == {"optimizer.steps": 100, "prompt.length": 5}
    assert sweep.keys == ("task.k_shot", "run.seed", "optimizer.loss")
    assert len(sweep.points) == 12
    assert (sweep.task, sweep.name, sweep.out) == ("reviews", "s", None)


def test_what_is_drawn_without_being_told(tmp_path: Path) -> None:
    """x is the first key that is neither the seed nor the series; a seed alone is x itself."""
    sweep = read(tmp_path, GOOD)
    assert (sweep.x, sweep.series) == ("task.k_shot", None)
    told = read(tmp_path, GOOD + '[sweep]\nseries = "task.k_shot"\n')
    assert (told.x, told.series) == ("optimizer.loss", "task.k_shot")
    alone = read(tmp_path, 'task = "reviews"\n[grid]\n"run.seed" = [0, 1]\n')
    assert (alone.x, alone.series) == ("run.seed", None)


def test_options_win_over_set(tmp_path: Path) -> None:
    """What the command line says replaces what [set] says, and adds to it."""
    sweep = read(tmp_path, GOOD, {"prompt.length": 3, "budget.prompts": 500})
    assert sweep.shared == {"optimizer.steps": 100, "prompt.length": 3, "budget.prompts": 500}


def test_seeds_replace_those_of_the_file(tmp_path: Path) -> None:
    """N seeds are 0..N-1, whether the file varies the seed or not."""
    path = tmp_path / "s.toml"
    for text in (GOOD, GOOD.replace('"run.seed" = [0, 1, 2]\n', "")):
        path.write_text(text)
        assert read_sweep(path, seeds=2).grid["run.seed"] == [0, 1]
    for seeds in (0, -1, 10**9):
        with pytest.raises(ConfigError, match="--seeds"):
            read_sweep(path, seeds=seeds)


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    """Tasks and file names of the file are found from anywhere; words that are no path stay."""
    text = (
        'task = "sub/t.toml"\n[set]\n"run.data" = "data"\n'
        '[grid]\n"prompt.vocabulary" = ["pmi", "v.txt"]\n[sweep]\nout = "o"\n'
    )
    sweep = read(tmp_path, text)
    assert sweep.task == str(tmp_path / "sub/t.toml")
    assert sweep.shared["run.data"] == str(tmp_path / "data")
    assert sweep.grid["prompt.vocabulary"] == ["pmi", str(tmp_path / "v.txt")]
    assert sweep.out == tmp_path / "o"


def test_a_sweep_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """The resolved copy means the same sweep, in another folder too, and is its own copy."""
    picked = '[[cells]]\n"model.name" = "simulated/x"\n[[cells]]\n"model.name" = "simulated/y"\n'
    sweep = read(tmp_path, GOOD + picked)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = read(elsewhere, sweep.to_toml())
    assert again.to_toml() == sweep.to_toml()
    assert [p.folder for p in again.points] == [p.folder for p in sweep.points]
    assert (again.x, again.series, again.name) == (sweep.x, sweep.series, sweep.name)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('task = "reviews"', 'task = "revews"', "task: 'revews' is neither"),
        ('task = "reviews"', "", "task: is needed and missing"),
        ("[grid]", "[gird]", "gird: unknown key; did you mean 'grid'"),
        ("[4, 8]", "[]", r"\[grid\] task.k_shot: is empty"),
        ("[4, 8]", "4", r"\[grid\] task.k_shot: must be a list"),
        ("[4, 8]", "[4, 4]", r"\[grid\] task.k_shot: 4 stands there twice"),
        ("[4, 8]", "[4, 8, 4.0]", r"\[grid\] task.k_shot: 4 stands there twice"),
        ("[4, 8]", "[4, [5]]", r"\[grid\] task.k_shot: a text, a number, true or false"),
        ("[4, 8]", "[2026-01-01]", r"\[grid\] task.k_shot: a text, a number, true or false"),
        ("= 100", "= [100]", r"\[set\] optimizer.steps: a text, a number, true or false"),
        ('"task.k_shot"', '"k_shot"', r"\[grid\] 'k_shot': no table.key"),
        ('"task.k_shot"', '"optimizer.steps"', r"optimizer.steps: given in \[set\]"),
        ('"task.k_shot"', '"run.out"', r"\[grid\] run.out: not in a sweep"),
        ("[4, 8]", str(list(range(2000))), r"\[grid\] has 12,000 cells"),
        ('loss = ["ce", "hinge"]', '[sweep]\nx = "model.name"', "sweep.x: 'model.name' is not"),
        ('loss = ["ce", "hinge"]', "[sweep]\ny = 1", "sweep.y: unknown key"),
        ("[4, 8]", "[4, 8", "not TOML"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    tmp_path: Path, old: str, new: str, part: str
) -> None:
    """The message names the file and the key."""
    assert old in GOOD
    with pytest.raises(ConfigError, match=part) as refused:
        read(tmp_path, GOOD.replace(old, new))
    assert "s.toml" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[[cells]]\n"a.b" = 1\n[[cells]]\n"a.c" = 1\n', "number 2 has other keys"),
        ('[[cells]]\n"a.b" = 1\n[[cells]]\n"a.b" = 1\n', "stands there twice"),
        ('[[cells]]\n"a.b" = 1\n[[cells]]\n"a.b" = 1.0\n', "stands there twice"),
        ('[grid]\n"a.b" = [1]\n[[cells]]\n"a.b" = 1\n', r"a.b: given in \[\[cells\]\]"),
        ("[grid]\n", "nothing is varied"),
        ('[grid]\n"a.b" = [1]\n"a.c" = [1]\n[sweep]\nx = "a.b"\nseries = "a.b"\n', "the same key"),
        ('[grid]\n"a.b" = [1]\na.b = [1]\n', r"\[grid\] a.b: given twice"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, text: str, part: str) -> None:
    """Nothing is given twice, and something is varied."""
    with pytest.raises(ConfigError, match=part):
        read(tmp_path, f'task = "reviews"\n{text}')


def test_a_grid_too_large_is_not_spelled_out(tmp_path: Path) -> None:
    """Ten axes of a hundred values are refused at once, not after filling the memory."""
    axes = "".join(f'"a.k{i}" = {list(range(100))}\n' for i in range(10))
    with pytest.raises(ConfigError, match="100,000,000,000,000,000,000 cells"):
        read(tmp_path, f'task = "reviews"\n[grid]\n{axes}')


EXAMPLES = sorted((Path(__file__).parents[1] / "examples" / "sweeps").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_can_be_read(path: Path) -> None:
    """Each example is a sweep of a built-in task, over seeds and something else."""
    sweep = read_sweep(path)
    assert sweep.task == "reviews"
    assert "run.seed" in sweep.keys
    assert sweep.x != "run.seed"


def test_there_are_five_examples() -> None:
    """One for each of the paper's studies that is a grid."""
    assert len(EXAMPLES) == 5
