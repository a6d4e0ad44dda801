"""Every page is read by a newcomer: its commands run, its figures are those printed."""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import bdpl_providers.openai
import bdpl_providers.tokens
import bdpl_providers.vllm
from bdpl_async.config import Config
from bdpl_async.errors import BdplError
from bdpl_async.intervals import wilson
from bdpl_cli.commands import COMMANDS
from bdpl_providers.roberta import BUILTIN
from tests.faultserver import FaultServer, Manners
from tests.newcomer import Newcomer, blocks, calls, lines
from tests.surroundings import fetched, films, installed, serving, tickets
from tests.toymodel import ToyModel
from tests.workbench import command

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8") for path in [ROOT / "README.md", *DOCS]
}
OPENAI = "https://api.openai.com/v1"
LONGEST = 240  # lines of a page
NOT_ALWAYS = ("What it had to say", "To be borne in mind")
"""Sections that a report has only where there is something to say."""
SERVED = {
    "http://localhost:8000/v1": "Qwen/Qwen3-4B",
    "http://localhost:8001/v1": "Qwen/Qwen3-8B",
    OPENAI: "gpt-4o-mini",
    "https://host/v1": "mine",
}
"""Servers that the pages speak of, and the model that a server of ours gives in their place."""
LABELS = (" terrible", " great", " billing", " technical", " account")
"""All label words of all pages."""
INSTEAD = {
    "--seeds 5": "--seeds 2",
    "--max-prompts 4000": "--max-prompts 400",
    "prompts = 4000": "prompts = 400",
    "--max-prompts 1000": "--max-prompts 250",
    "--steps 100": "--steps 2",
    "--steps 200": "--steps 2",
    "prompts=1000": "prompts=250",
    "prompts=5000": "prompts=250",
    "--max-prompts 2000 --out runs/lengths": "--max-prompts 300 --out runs/lengths",
    "data-size.toml --model simulated/x --max-prompts 2000": (
        "data-size.toml --model simulated/x --max-prompts 300"
    ),
    "bdpl.Watching(budget)": "bdpl.Watching(budget, show=str)",
}
"""What is made smaller, so that a page takes seconds; and a display that needs no IPython."""
MORE = {
    "bdpl-async run tickets.toml --seed 0": "--model simulated/x",
    "bdpl-async run tickets.toml --max-usd 5": "--max-prompts 400",
    "bdpl-async run tickets.toml --model compatible/": "--max-prompts 400",
    "bdpl-async run sst2 --data SST-2 --seed 0": "--model simulated/x",
}
"""What is added to a command that would take long, by how it begins."""
NOT_RUN = {
    "python3 -m venv": "installs from the registry; .ci/run does that",
    ". .venv/bin/activate": "the tests' own environment is active",
    "pip wheel": "fetches wheels from the registry",
    "pip install -e '.[ray]'": "installs from the registry",
    "bdpl-async run reviews --workers": "needs Ray",
    "bdpl-async sweep examples/sweeps/data-size.toml --executor ray": "needs Ray",
    "pip install -e '.[telemetry]'": "installs from the registry",
    "bdpl-async run reviews --model simulated/x --steps 5 --telemetry": "needs the extra",
    "pip install -e '.[redis]'": "installs from the registry",
    "redis-server": "serves until it is stopped; tests/cluster starts real ones",
    "bdpl-async group": "needs a redis-server, as tests/cluster has one",
    "bdpl-async run tickets.toml --cache redis://": "needs a redis-server, likewise",
    "bdpl-async run tickets.toml --budget-group": "needs a redis-server, likewise",
    "vllm serve": "needs vLLM; a server of the tests speaks its dialect instead",
}
"""Lines that are not run, by how they begin, and why not."""


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Where the servers that the pages speak of are today: on this machine, as threads."""
    monkeypatch.setattr(bdpl_providers.tokens, "load_vocabulary", lambda model: None)
    for module in ("asking", "promptfoo"):  # they take the addresses over when they are imported
        importlib.import_module(f"bdpl_cli.exports.{module}")
    found = {}
    with ExitStack() as stack:
        for url, model in SERVED.items():
            server = stack.enter_context(FaultServer.in_thread(Manners(model=model)))
            server.model = ToyModel(LABELS)
            found[url] = server.url
        monkeypatch.setattr(bdpl_providers.vllm, "BASE_URL", found["http://localhost:8000/v1"])
        monkeypatch.setattr(bdpl_providers.openai, "HOME", found[OPENAI])
        yield found


@pytest.fixture
def newcomer(
    places: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Newcomer]:
    """Somebody with an empty folder but for the examples and data of their own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")
    tickets(Path("tickets.csv"), 51)
    films(Path("SST-2"))
    with ExitStack() as stack:

        def start_fake(reader: Newcomer) -> None:
            app = importlib.import_module("fake_acme").make_app()
            reader.instead["http://localhost:9000"] = stack.enter_context(serving(app))

        yield Newcomer(
            capsys,
            monkeypatch,
            instead={**places, **INSTEAD},
            more=MORE,
            not_run=NOT_RUN,
            done_by={
                "pip install -e .": lambda reader: installed(monkeypatch),
                "python fake_acme.py": start_fake,
                "hf download": lambda reader: fetched(BUILTIN, Path("models", "roberta-base")),
            },
        )


@pytest.mark.parametrize("page", PAGES)
def test_all_that_a_page_says_can_be_done(page: str, newcomer: Newcomer) -> None:
    """Its files, commands and programs work in the order in which they stand, and print that."""
    newcomer.follow(PAGES[page])


def test_no_exception_is_kept_for_what_no_page_says() -> None:
    """Whatever is replaced, added to or not run stands on some page."""
    said = "\n".join(re.sub(r"\\\n\s*", "", page) for page in PAGES.values())
    starts = [*MORE, *NOT_RUN]
    assert [start for start in starts if f"\n{start}" not in said] == []
    assert [text for text in [*INSTEAD, *SERVED] if text not in said and text != OPENAI] == []


def test_every_command_is_shown() -> None:
    """A reader of the pages meets each command that there is."""
    met = {line.split()[1] for page in PAGES.values() for line in calls(page)}
    assert set(COMMANDS) <= met


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "bdpl_async/tasks/README.md"])
def test_every_link_within_leads_somewhere(page: str) -> None:
    """A reader who follows a relative link finds a file, and a heading where one is named."""
    file = ROOT / page
    found = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", file.read_text("utf-8"))
    assert found, "a page that leads nowhere"
    for path, anchor in found:
        there = file.parent / path if path else file
        assert there.exists(), path
        assert not anchor or anchor in anchors(there.read_text("utf-8")), anchor


def anchors(page: str) -> list[str]:
    """What GitHub makes of the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", page, re.M)
    return [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"README.md"}))
def test_the_readme_leads_to_every_page(page: str) -> None:
    """No page is left for a reader to find by chance, and none is longer than a sitting."""
    assert f"]({page})" in PAGES["README.md"]
    assert len(PAGES[page].splitlines()) <= LONGEST


def test_the_method_names_what_there_is() -> None:
    """Whatever the page of equations calls by module and name is in the engine."""
    named = re.findall(r"`(\w+)\.(\w+)`", PAGES["docs/method.md"])
    modules = {path.stem: path for path in (ROOT / "bdpl_async").rglob("*.py")}
    assert len(named) > 15
    for module, name in named:
        if name == "json":  # a file of a run
            continue
        table = Config.model_fields.get(module)
        if table is not None:
            assert name in getattr(table.annotation, "model_fields", ()), (module, name)
            continue
        path = modules[module].relative_to(ROOT).with_suffix("")
        assert hasattr(importlib.import_module(".".join(path.parts)), name), (module, name)


def test_formulas_are_drawn_where_pages_are_read() -> None:
    """Inline formulas hold nothing that Markdown takes for its own, and no line ends in them."""
    for name, page in PAGES.items():
        text = re.sub(r"```.*?```|`[^`]*`", "", page, flags=re.S)
        formulas = re.findall(r"\$([^$]*)\$", text)
        assert (text.count("$") == 0) == (name != "docs/method.md"), "dollars are for formulas"
        assert text.count("$") == 2 * len(formulas)
        for formula in formulas:
            assert formula == formula.strip()
            assert not re.search(r"\n|\\[^a-zA-Z]|\*|\||(?<![a-zA-Z])_", formula), formula


def test_the_sections_of_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page on the report has its sections, in its order, and no other."""
    monkeypatch.chdir(tmp_path)
    quick = ("reviews", "--model", "simulated/x", "--max-prompts", "400", "--out")
    run, comparison = PAGES["docs/report.md"].split("\n## A comparison")
    for name, said in (("run", run), ("compare", comparison)):
        assert command(capsys, name, *quick, name).code == 0
        assert command(capsys, "report", name, "-o", f"{name}.html").code == 0
        shown = re.findall(r"<h2[^>]*>([^<]*)<", Path(f"{name}.html").read_text("utf-8"))
        told = re.findall(r"^### (.*)$", said, re.M)
        assert [head for head in told if head in shown or head not in NOT_ALWAYS] == shown


def test_how_sure_a_score_is() -> None:
    """The table of intervals for so many tickets is Wilson's."""
    counts, widths = (
        [int(cell) for cell in re.findall(r"\d+", line)]
        for line in re.findall(r"^\| (?:rows scored|± points).*$", PAGES["docs/tickets.md"], re.M)
    )
    for n, width in zip(counts, widths, strict=True):
        low, high = wilson(int(0.75 * n), n)
        assert round(50 * (high - low)) == width, n


# The reader itself


BAD = {
    "fails": "```sh\nbdpl-async eval nosuch\n```\n",
    "another code": "<!-- exit 3 -->\n```sh\nbdpl-async eval nosuch\n```\n",
    "another output": "```python\nprint(1)\n```\n<!-- prints -->\n```text\n2\n```\n",
    "an unknown line": "```sh\nrm -r runs\n```\n",
    "a broken program": "```python\nassert 1 == 2\n```\n",
    "no such key": "```toml\n[prompt]\nlenght = 3\n```\n",
    "no such file": '<!-- file: t.toml -->\n```toml\n[task]\nname = "t"\n```\n',
}


@pytest.mark.parametrize("page", BAD.values(), ids=BAD)
def test_a_page_that_is_wrong_is_found_out(
    page: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reader does not pass over what does not work, nor over what nobody knows how to run."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, BdplError)):
        Newcomer(capsys, monkeypatch).follow(page)


def test_what_the_reader_sees() -> None:
    """Continued lines are one command; comments are none; a mark belongs to the next block."""
    page = "<!-- exit 4 -->\n```sh\n# so:\nbdpl-async run \\\n    --steps 2\n\n```\n"
    page += "```toml\na=1\n```\n"
    first, second = blocks(page)
    assert (first.code, lines(first)) == (4, ["bdpl-async run --steps 2"])
    assert (second.language, second.mark) == ("toml", "")
    assert calls(page) == ["bdpl-async run --steps 2"]
