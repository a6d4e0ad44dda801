"""The tables of a comparison: who scores what, what that took, and every run behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bdpl_async.kept import Kept
from bdpl_async.markup import Element, Node, tag
from bdpl_async.studies.comparison import Difference, Mean
from bdpl_async.studies.tally import Tally, gained, tally
from bdpl_async.wording import bounds, dollars, signed
from bdpl_cli.page.contest import Contest, Contestant
from bdpl_cli.page.document import note, section, table
from bdpl_cli.page.drawing import SERIES, variable
from bdpl_cli.page.material import METRIC
from bdpl_cli.page.wording import duration, ellipsis, probability, share

__all__ = ["costs", "heading", "runs", "scores"]

NONE: Final = "\N{EN DASH}"
NAME: Final = 60  # characters
PROMPT: Final = 160
Column = tuple[str, list[Node]]  # its name, and a cell for each arm


def scores(found: Contest) -> Element:
    """The section on scores and differences."""
    arms, first = found.arms, found.arms[0]
    columns: list[Column] = [
        ("Test", [_mean(arm.test) for arm in arms]),
        ("Dev", [_mean(arm.dev) for arm in arms]),
        ("Over the empty prompt", [_difference(arm.gain) for arm in arms]),
    ]
    if len(arms) > 1:
        against = [_difference(arm.against) for arm in arms[1:]]
        columns += [(f"Over {ellipsis(first.name, NAME)}", ["the first arm", *against])]
    metric = METRIC.get(found.metric, found.metric)
    caption = f"{metric}, in per cent; differences in points, on {found.split or 'no split'}"
    seeds = " over the seeds" if len(found.seeds) > 1 else ""
    said = f"Below each number its 95 % interval{seeds}. Differences are paired: both prompts"
    said += " answered the same examples. p is corrected for the number of differences (Holm);"
    said += " real ones (p < 0.05) are set in bold."
    return section("scores", "Scores", _table(found, caption, columns), note(said))


def costs(found: Contest) -> Element:
    """The section on money, requests and time."""
    arms = found.arms

    def of(name: str, cell: Callable[[Tally], str]) -> Column:
        return name, [cell(arm.took) for arm in arms]

    columns: list[Column] = [
        of("USD", lambda took: _usd(took.usd or None)),
        ("USD a point", [_usd(arm.usd_per_point or None) for arm in arms]),
        of("Prompts", lambda took: f"{took.prompts:,.0f}"),
        of("Requests", lambda took: f"{took.requests:,.0f}"),
        of("Half within", lambda took: _seconds(took.p50)),
        of("95 % within", lambda took: _seconds(took.p95)),
        of("Tokens/s", lambda took: NONE if took.tokens_per_second is None else _large(took)),
        of("Failures", lambda took: _count(took.failures)),
        of("Retries", lambda took: _count(took.retries)),
    ]
    shown = [(name, cells) for name, cells in columns if any(cell != NONE for cell in cells)]
    about = "Means of a run" if len(found.seeds) > 1 else "What each run took"
    said = "As paid: answers from the cache, which arms share, are free."
    if any(name == "USD a point" for name, _ in shown):
        said += " USD a point is for each point over the empty prompt, where that is above zero,"
        said += " and counts answers from the cache at their price."
    return section("costs", "Costs", _table(found, about, shown), note(said))


def runs(found: Contest) -> Element:
    """Every run of every arm, folded away."""
    rows: list[tuple[Node, Sequence[Node]]] = []
    for arm in found.arms:
        rows += [(heading(arm, found), _run(run)) for run in arm.runs]
    names = ["Arm", "Seed", "Test", "Dev", "Gain", "USD", "Prompts", "Failures", "Prompt", "Folder"]
    whole = table("Gain: over the empty prompt in this run", names, rows, kind="figures arms")
    summary = tag("summary", f"All {len(rows):,} runs" if len(rows) > 1 else "The run")
    return section("runs", "Run by run", tag("details", summary, whole))


def heading(arm: Contestant, found: Contest, *, linked: bool = True) -> Element:
    """An arm's number, colour and name, which links to its prompt."""
    parts: list[Node] = [tag("span", str(arm.number), class_="number")]
    if len(found.arms) <= len(SERIES):
        colour = variable(arm.number - 1)
        parts.append(tag("i", class_="chip", style=f"background:{colour}", aria_hidden="true"))
    target = f"#prompt-{arm.number}" if linked else None
    parts.append(tag("a" if linked else "strong", ellipsis(arm.name, NAME), href=target))
    return tag("span", parts, class_="arm")


def _table(found: Contest, caption: str, columns: Sequence[Column]) -> Element:
    rows = [
        (heading(arm, found), [cells[place] for _, cells in columns])
        for place, arm in enumerate(found.arms)
    ]
    return table(caption, ["Arm", *(name for name, _ in columns)], rows, kind="figures arms")


def _run(run: Kept) -> list[Node]:
    result, took = run.result, tally(run)
    gain = gained(run)
    return [
        str(result.seed),
        NONE if result.test is None else share(result.test.score),
        NONE if result.dev is None else share(result.dev.score),
        NONE if gain is None or not result.prompt else signed(gain[1].score),
        _usd(took.usd or None),
        f"{took.prompts:,.0f}",
        _count(took.failures),
        _left(ellipsis(result.prompt, PROMPT) or "(empty)"),
        _left(tag("code", run.path.name)),
    ]


def _left(child: Node) -> Element:
    return tag("td", child, class_="left", dir="auto")


def _mean(found: Mean | None) -> Node:
    if found is None:
        return NONE
    return tag("td", f"{100 * found.mean:.1f}", tag("small", bounds(found.ci95)))


def _difference(found: Difference | None) -> Node:
    if found is None:
        return NONE
    shown = tag("strong" if found.real else "span", signed(found.score))
    ends, chance = bounds(found.ci95, sign=True), probability(found.p_adjusted)
    return tag("td", shown, tag("small", f"{ends}"), tag("small", chance))


def _usd(usd: float | None) -> str:
    return NONE if usd is None else dollars(usd)


def _seconds(seconds: float | None) -> str:
    return NONE if seconds is None else duration(seconds)


def _large(took: Tally) -> str:
    return f"{took.tokens_per_second:,.0f}"


def _count(number: float) -> str:
    """Means over seeds may have a part."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"
