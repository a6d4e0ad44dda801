"""The page about a comparison: its parts in the order in which a reader asks for them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from bdpl_async.kept import Kept
from bdpl_async.markup import Element, Node, shaded, tag
from bdpl_async.studies.boardfile import KeptComparison
from bdpl_async.studies.explanation import places
from bdpl_async.wording import counted, dollars
from bdpl_cli.page.contest import Contest, Contestant, contest
from bdpl_cli.page.contesttables import costs, heading, runs, scores
from bdpl_cli.page.contestverdict import contest_verdict
from bdpl_cli.page.document import document, facts, note, section
from bdpl_cli.page.material import METRIC
from bdpl_cli.page.verdict import block
from bdpl_cli.page.wording import duration, ellipsis

__all__ = ["comparison_page"]

TITLE: Final = 120  # characters
NAME: Final = 60
NAMED: Final = 8  # models or methods that the head of the page names
UNITS: Final = {"requests": "request", "prompts": "prompt", "tokens": "token"}


def comparison_page(kept: KeptComparison, title: str | None = None, *, plots: bool) -> bytes:
    """The whole file.

    Args:
        kept: the comparison.
        title: None names it after the task and what is compared.
        plots: whether figures can be drawn.

    Raises:
        ConfigError: comparison.json is not as compare writes it.
    """
    found = contest(kept)
    named = ellipsis(title or _title(found), TITLE)
    parts = [scores(found), _figures(found) if plots else None, costs(found), _prompts(found)]
    parts += [_setting(found), _notes(found), runs(found)]
    return document(named, _header(found, named), [part for part in parts if part is not None])


def _title(found: Contest) -> str:
    if len(found.models) > 1:
        return f"{found.task}: {counted(len(found.models), 'model')} compared"
    return f"{found.task} on {found.models[0]}"


def _header(found: Contest, title: str) -> Element:
    said = f"{counted(len(found.arms), 'arm')}, {_seeds(found)}"
    if found.split:
        said += f", {counted(found.n, f'{found.split} example')} in each"
    return tag(
        "header",
        tag("p", "Report of a comparison", class_="eyebrow"),
        tag("h1", title),
        tag("p", f"{said}; every arm on the same examples and the same budget.", class_="lead"),
        block(contest_verdict(found)),
    )


def _figures(found: Contest) -> Element | None:
    from bdpl_cli.page.contestplots import plots

    return plots(found)


# Prompts


def _prompts(found: Contest) -> Element:
    """The best prompt of each arm, shaded where the method keeps odds."""
    parts: list[Node] = []
    if any(arm.best.policy is not None for arm in found.arms):
        scale = tag("span", class_="scale", role="img", aria_label="from clear to amber")
        parts.append(note("Tokens are shaded by their probability at the end, 0", scale, "to 1."))
    if len(found.seeds) > 1:
        parts.append(note("Of each arm, the prompt of the seed that scores best on dev."))
    items = [_prompt(arm, found) for arm in found.arms]
    return section("prompts", "The prompts", *parts, tag("ul", items, class_="examples prompts"))


def _prompt(arm: Contestant, found: Contest) -> Element:
    best = arm.best
    kind = "learned" if arm.searches else "fixed"
    about = f"{kind}, seed {best.result.seed}" if len(found.seeds) > 1 else kind
    text = shaded(best.result.tokens, _odds(best))
    if not best.result.prompt:
        text = tag("span", "(the empty prompt)", class_="note")
    return tag(
        "li",
        tag("p", heading(arm, found, linked=False), " ", tag("small", about, class_="note")),
        tag("p", text, dir="auto", class_="long"),
        id=f"prompt-{arm.number}",
    )


def _odds(run: Kept) -> list[float]:
    """The probability of each token at its position; empty where there is none."""
    if run.policy is None:
        return []
    found = [place.probability for place in places(run.policy, run.result.tokens)]
    known = [chance for chance in found if chance is not None]
    return known if len(known) == len(run.result.tokens) else []


# What was compared


def _setting(found: Contest) -> Element:
    return section("setting", "What was compared", facts(_facts(found)), *_again(found))


def _facts(found: Contest) -> Iterator[tuple[str, Node]]:
    yield "Task", ellipsis(found.task, NAME)
    yield "Metric", METRIC.get(found.metric, found.metric)
    yield "Models" if len(found.models) > 1 else "Model", _few(found.models)
    yield "Methods" if len(found.methods) > 1 else "Method", _few(found.methods)
    yield "Seeds" if len(found.seeds) > 1 else "Seed", _few(found.seeds)
    if found.split:
        yield "Differences on", f"{counted(found.n, 'example')} of {found.split}, in each seed"
    yield "Budget of a run", "; ".join(_budget(found)) or "no limit"
    digest = str(found.kept.document.get("examples_sha256", ""))
    if digest:
        yield "SHA-256 of the examples", tag("code", digest)


def _few(names: list[str] | tuple[str, ...]) -> str:
    shown = [ellipsis(name, NAME) for name in names[:NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _seeds(found: Contest) -> str:
    many = len(found.seeds)
    return f"{many} seeds" if many > 1 else f"seed {''.join(found.seeds)}"


def _budget(found: Contest) -> Iterator[str]:
    for name, limit in found.kept.document["budget"].items():
        if not isinstance(limit, int | float):
            continue
        if name == "usd":
            yield dollars(limit)
        elif name == "seconds":
            yield duration(limit)
        else:
            yield counted(limit, UNITS.get(name, name))


def _again(found: Contest) -> Iterator[Element]:
    folder = found.kept.path.absolute()
    yield tag("h3", "Run it again")
    tables = [arm.runs[0].config.model.model_dump() | {"name": ""} for arm in found.arms]
    if any(table != tables[0] for table in tables):
        yield note(
            "The models have settings of their own, which stand under [[models]] in the task's"
            " file: give compare that file again, and another folder as --out."
        )
        return
    command = ["bdpl-async", "compare", str(found.arms[0].runs[0].path.absolute() / "run.toml")]
    for option, names in (("--model", found.models), ("--method", found.methods)):
        for name in names:
            command += [option, name]
    command += _given_seeds(found)
    yield tag("pre", shlex.join([*command, "--out", "runs/again"]))
    yield note(
        f"Every run lies with its run.toml in {folder}; bdpl-async report makes a page of each."
    )


def _given_seeds(found: Contest) -> list[str]:
    many = len(found.seeds)
    if found.seeds == tuple(map(str, range(many))) and many > 1:
        return ["--seeds", str(many)]
    return ["--seed", found.seeds[0]] if many == 1 else []


def _notes(found: Contest) -> Element | None:
    if not found.notes:
        return None
    said = (tag("li", ellipsis(one)) for one in found.notes)
    return section("notes", "To be borne in mind", tag("ul", said))
