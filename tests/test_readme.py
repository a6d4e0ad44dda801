"""The README's commands and examples are the ones that are run, and what its tables say is so."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import bdpl_async as bdpl
from bdpl_async.config import Config, ModelTable, OptimizerTable, builtin_tasks, load_config
from bdpl_async.tasktable import HubTable
from bdpl_cli.main import UNBUILT, app
from tests.taskrows import table
from tests.workbench import command

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
KEYS = (ROOT / "examples" / "keys.md").read_text(encoding="utf-8")
NOT_RUN = {
    "bdpl-async probe --model vllm/": "needs a server",
    "bdpl-async estimate tickets.toml --model openai/": "may fetch the tokenizer's vocabulary",
    "bdpl-async run tickets.toml --model openai/": "needs a key and costs money",
    "bdpl-async run tickets.toml --model compatible/": "needs a server",
}
"""The commands that stand there and are not run here, by how they begin, and why not."""
ELSEWHERE = ("--model", "simulated/x")
"""Instead of a model whose weights must be fetched, or that takes its time."""
RUN_DIR = {"result.json", "answers.json", "policy.json", "events.jsonl", "run.toml"}


def block(after: str, language: str) -> str:
    """The first code block of `language` behind the text `after`."""
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found, f"no {language} block behind {after!r}"
    return found[1]


def commands(blocks: str) -> list[str]:
    """The lines of code blocks, matched by `blocks`, that call the command."""
    found = re.findall(blocks + r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for text in found for line in text.splitlines()]
    return [line for line in lines if line.startswith("bdpl-async ")]


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


@pytest.fixture
def _newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with what the README's commands name: the task with its data, and the examples."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")
    Path("tickets.toml").write_text(block("## Your own task", "toml"), encoding="utf-8")
    for name, count in (("train", 40), ("test", 20)):
        lines = [
            f"{'thank you for' if i % 2 else 'still no sign of'} order {name} {i}"
            f"\t{'praise' if i % 2 else 'complaint'}\n"
            for i in range(count)
        ]
        Path(f"{name}.tsv").write_text("text\tlabel\n" + "".join(lines))
    Path("SST-2").mkdir()
    Path("SST-2", "train.tsv").write_text(table("sst2", 32))
    Path("SST-2", "dev.tsv").write_text(table("sst2", 8, 1))


@pytest.mark.usefixtures("_newcomer")
def test_the_readmes_offline_commands_work(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command under an offline mark ends well, in the order in which they stand there."""
    for line in commands("<!-- offline -->\n"):
        words = shlex.split(line, comments=True)[1:]
        learns = words[:2] in (["run", "tickets.toml"], ["eval", "tickets.toml"], ["run", "sst2"])
        done = command(capsys, *words, *(ELSEWHERE if learns else ()))
        assert done.code == 0, f"{line}\n{done.err}"
        assert done.out, line
    assert {path.name for path in Path("runs", "tickets").iterdir()} == RUN_DIR
    assert {name for name in RUN_DIR if f"`{name}`" in README} == RUN_DIR
    assert Path("runs", "compared", "comparison.json").exists()
    assert {"sweep.csv", "sweep.json"} <= {p.name for p in Path("runs", "data-size").iterdir()}
    assert Path("transfer.csv").exists()


def test_no_command_of_the_readme_goes_unseen() -> None:
    """A command is run by these tests or is known not to be; such a one is at least understood."""
    left = [line for line in commands("") if line not in commands("<!-- offline -->\n")]
    for line in left:
        assert any(line.startswith(start) for start in NOT_RUN), line
        app.parse_args(shlex.split(line, comments=True)[1:], exit_on_error=False, print_error=False)
    assert all(any(line.startswith(start) for line in left) for start in NOT_RUN)


def test_what_is_not_built_is_named() -> None:
    """The README names exactly the commands that answer that they are not built yet."""
    sentence = README[: README.index("are not built yet")].rsplit("\n\n", 1)[1]
    assert set(names(sentence)) == set(UNBUILT)


# Examples


def test_the_readmes_task_file_is_valid(tmp_path: Path) -> None:
    """The TASK.toml that the README shows is accepted as it stands."""
    path = tmp_path / "task.toml"
    path.write_text(block("## Your own task", "toml"), encoding="utf-8")
    config = load_config(path)
    assert config.budget.prompts == 8000
    assert list(config.task.labels) == ["complaint", "praise"]


def test_the_readmes_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The first program prints a prompt and its score; here on a model that answers at once."""
    program = block("## From Python", "python")
    assert "roberta/builtin" in program
    exec(program.replace("roberta/builtin", "simulated/x"), {})  # noqa: S102  the README's own text
    assert re.search(r"\S+ \d\.\d+$", capsys.readouterr().out.strip())


async def test_the_readmes_own_scorer_works_in_tune(tmp_path: Path) -> None:
    """A scorer of a dozen lines, as the README shows it, goes through a whole run."""
    names: dict[str, object] = {}
    exec(block("A scorer of your own", "python"), names)  # noqa: S102  the README's own text
    shouting = names["Shouting"]
    assert isinstance(shouting, type)
    scorer: bdpl.Scorer = shouting()
    task = bdpl.Task.from_toml("reviews")
    result = await bdpl.tune(task, scorer, steps=2, samples=2, batch=2, seed=0)
    assert result.model == "mine/shouting"
    assert result.steps_done == 2
    assert result.dev is not None


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "bdpl_async/tasks/README.md"])
def test_every_local_link_leads_somewhere(document: str) -> None:
    """A reader who follows a relative link finds a file."""
    file = ROOT / document
    links = re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (file.parent / link).exists()] == []


# Tables


def test_the_table_of_tasks() -> None:
    """Metric, columns and label words of every built-in task of the paper are those listed."""
    text = README[README.index("## The paper's tasks") : README.index("## Methods")]
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
