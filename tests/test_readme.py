"""The README's commands and examples are the ones that are run."""

from __future__ import annotations

import re
from pathlib import Path

import bdpl_async as bdpl
from bdpl_async.config import load_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(after: str, language: str) -> str:
    """The first code block of `language` behind the text `after`."""
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found, f"no {language} block behind {after!r}"
    return found[1]


def test_ci_runs_the_readmes_test_command() -> None:
    """CI installs and tests with the very arguments that the README gives to newcomers."""
    command = block("<!-- test -->", "sh")
    arguments = re.search(r"pip install (.*?) &&", command)
    assert arguments
    assert f'pip" install -q {arguments[1]}\n' in (ROOT / ".ci" / "run").read_text()
    assert command.rstrip().endswith("pytest")


def test_the_readmes_task_file_is_valid(tmp_path: Path) -> None:
    """The TASK.toml that the README shows is accepted as it stands."""
    path = tmp_path / "task.toml"
    path.write_text(block("## Your own task", "toml"), encoding="utf-8")
    config = load_config(path)
    assert config.budget.prompts == 8000
    assert list(config.task.labels) == ["complaint", "praise"]


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


def test_every_local_link_of_the_readme_leads_somewhere() -> None:
    """A reader who follows a relative link finds a file."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
