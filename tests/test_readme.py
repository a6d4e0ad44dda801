"""What README and guides say beside the commands that `test_docs` runs is so: tables and lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bdpl_async.config import Config, ModelTable, OptimizerTable, builtin_tasks, load_config
from bdpl_async.tasktable import HubTable
from tests.workbench import command

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESEARCH = (ROOT / "docs" / "research.md").read_text(encoding="utf-8")
KEYS = (ROOT / "examples" / "keys.md").read_text(encoding="utf-8")


def block(after: str, language: str) -> str:
    """The first code block of `language` behind the text `after`."""
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found, f"no {language} block behind {after!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# Commands


def test_ci_runs_the_readmes_test_command() -> None:
    """CI installs and tests with the very arguments that the README gives to newcomers."""
    command = block("<!-- test -->", "sh")
    arguments = re.search(r"pip install (.*?) &&", command)
    assert arguments
    assert f'pip" install -q {arguments[1]}\n' in (ROOT / ".ci" / "run").read_text()
    assert command.rstrip().endswith("pytest")


def test_what_a_run_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README names every file of a run's folder, and no other."""
    monkeypatch.chdir(tmp_path)
    quick = ("--model", "simulated/x", "--steps", "2", "--out", "left")
    assert command(capsys, "run", "reviews", *quick).code == 0
    start = README.index("A run leaves a folder")
    said = set(names(README[start : README.index("Exit codes", start)]))
    assert said == {path.name for path in Path("left").iterdir()}


# Examples


def test_the_readmes_task_file_is_valid(tmp_path: Path) -> None:
    """The TASK.toml that the README shows is accepted as it stands."""
    path = tmp_path / "task.toml"
    path.write_text(block("## Your own task", "toml"), encoding="utf-8")
    config = load_config(path)
    assert config.budget.prompts == 8000
    assert list(config.task.labels) == ["billing", "technical", "account"]


# Tables


def test_the_list_of_tasks() -> None:
    """The README names every built-in task of the paper."""
    text = README[README.index("## The paper's tasks") : README.index("## From Python")]
    listed = names(text)[0].split()
    assert listed == [name for name in builtin_tasks() if name != "reviews"]


def test_the_table_of_tasks() -> None:
    """Metric, columns and label words of every built-in task of the paper are those listed."""
    text = RESEARCH[
        RESEARCH.index("## The paper's tasks") : RESEARCH.index("```sh\nbdpl-async tasks")
    ]
    listed = {name: row for row in rows(text) for name in names(row[0])}
    assert list(listed) == [name for name in builtin_tasks() if name != "reviews"]
    for name, (_, _, metric, columns, words) in listed.items():
        task = load_config(builtin_tasks()[name]).task
        assert names(metric) == [task.metric], name
        assert columns.split(", ") == list(task.texts), name
        assert words.split(", ") == [word.strip() for word in task.labels.values()], name


def test_the_table_of_methods() -> None:
    """Every method there is is listed, and no other."""
    text = README[README.index("## Methods") : README.index("## Many runs")]
    listed = [name for row in rows(text) for name in names(row[0])]
    assert sorted(listed) == sorted(get_args(OptimizerTable.model_fields["method"].annotation))


def test_what_is_where() -> None:
    """Every name in the tree is a module or a folder, and every folder of the engine is there."""
    tree = block("## What is where", "")
    folder, seen = ROOT, set()
    for line in tree.splitlines():
        left = line[: 29 if line.startswith("  ") else 27].strip()
        for name in left.split(", "):
            place = (folder if line.startswith("  ") else ROOT) / name
            assert place.is_dir() or place.with_suffix(".py").is_file(), line
            seen.add(place.resolve())
        if not line.startswith("  "):
            folder = ROOT / left
    packages = {path.parent for path in (ROOT / "bdpl_async").rglob("__init__.py")}
    assert packages <= seen


def documented() -> dict[str, dict[str, str]]:
    """Table -> key -> default, as examples/keys.md has them."""
    found = {}
    for part in KEYS.split("\n## ")[1:]:
        title, text = part.split("\n", 1)
        found[names(title)[0].strip("[]")] = {names(row[0])[0]: row[1] for row in rows(text)}
    return found


def known(model: type[BaseModel]) -> dict[str, str]:
    """Key -> default of the keys of a table, as a reader would write them."""
    found = {}
    for key, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined:
            found[key] = "needed"
        elif isinstance(default, bool):
            found[key] = str(default).lower()
        elif isinstance(default, str):
            found[key] = f'`"{default}"`'
        else:
            found[key] = "-" if default in (None, {}) else f"{default:g}"
    return found


def test_every_key_has_its_line() -> None:
    """examples/keys.md names each key that a TASK.toml may have, its default, and no other key."""
    expected = {"task.hub": known(HubTable)}
    for name, field in Config.model_fields.items():
        if name == "models":
            assert field.annotation == list[ModelTable]
            assert "`[[models]]` has the same keys" in KEYS[KEYS.index("## `[model]`") :]
        else:
            assert isinstance(field.annotation, type)
            assert issubclass(field.annotation, BaseModel)
            expected[name] = known(field.annotation)
    expected["task"].pop("hub")  # a table of its own
    assert documented() == expected
