"""Where the money went, what the cache saved, what stood in the way, how long answers took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from bdpl_async.budget import Amount
from bdpl_async.markup import Element, Node, tag
from bdpl_async.spending import Spending
from bdpl_async.wording import counted, dollars
from bdpl_cli.page.document import facts, note, section, table
from bdpl_cli.page.material import Material
from bdpl_cli.page.wording import duration, ellipsis, share

__all__ = ["money", "trouble"]

PARTS: Final = {
    "probe": "Probing the model",
    "train": "Learning",
    "dev": "Choosing on dev",
    "test": "Scoring on test",
    "failed": "Failed requests",
}
UNITS: Final = ("usd", "tokens", "prompts", "requests")
NAMED: Final = {"usd": "USD", "tokens": "tokens", "prompts": "prompts", "requests": "requests"}
NOTES: Final = 30
NAME: Final = 60
COLUMNS: Final = ("", "Requests", "Prompts", "Tokens", "USD")


def money(material: Material) -> Element:
    """The section."""
    spending, parts = material.result.spending, list[Node]()
    if spending is not None:
        parts.append(_table(spending))
    else:
        parts.append(note("The run is of an earlier release, which kept the total alone."))
    parts += [facts(_totals(material)), *_budget(material)]
    return section("money", "Where the money went", *parts)


def _table(spending: Spending) -> Element:
    amounts = {part: getattr(spending, part) for part in PARTS}
    total = sum(amounts.values(), Amount())
    unit = next((one for one in UNITS if getattr(total, one)), "requests")
    most = getattr(total, unit)
    rows = [
        (name, [*_cells(amounts[part]), _bar(getattr(amounts[part], unit), most)])
        for part, name in PARTS.items()
    ]
    columns = [*COLUMNS, f"Share of {NAMED[unit]}"]
    whole = table("What each part of the run took", columns, rows, kind="figures drawn")
    body = next(whole.iter("tbody"))
    body.append(_row("total", "Spent", [*_cells(total), tag("td", class_="bar")]))
    if spending.saved != Amount():
        saved = [*_cells(spending.saved), tag("td", "not spent", class_="left")]
        body.append(_row("apart", "Saved by the cache", saved))
    return whole


def _row(kind: str, name: str, cells: list[Node]) -> Element:
    ready = (one if isinstance(one, Element) else tag("td", one) for one in cells)
    return tag("tr", tag("th", name, scope="row"), ready, class_=kind)


def _cells(amount: Amount) -> list[Node]:
    money = dollars(amount.usd) if amount.usd else "\N{EN DASH}"
    return [f"{amount.requests:,}", f"{amount.prompts:,}", f"{amount.tokens:,}", money]


def _bar(part: float, whole: float) -> Element:
    of = min(1.0, max(0.0, part / whole)) if whole else 0.0
    inner = tag("i", style=f"left:0;width:{100 * of:.1f}%")
    bar = tag("span", inner, class_="track", aria_hidden="true")
    return tag("td", tag("span", share(of), class_="of"), bar, class_="bar")


def _totals(material: Material) -> Iterator[tuple[str, Node]]:
    usage, latency = material.result.usage, material.result.latency
    yield "Requests", f"{usage.requests:,}"
    yield "Prompts answered", f"{usage.prompts:,}"
    if usage.cache_hits:
        yield "Answered by the cache", f"{usage.cache_hits:,}"
    if usage.prompt_tokens or usage.completion_tokens:
        yield "Tokens in", f"{usage.prompt_tokens:,}"
        yield "Tokens out", f"{usage.completion_tokens:,}"
    if usage.usd:
        yield "Cost", dollars(usage.usd)
    yield "Time", duration(usage.seconds)
    if latency.p50 is not None:
        yield "Half of the answers within", duration(latency.p50)
    if latency.p95 is not None:
        yield "95 % of the answers within", duration(latency.p95)


def _budget(material: Material) -> Iterator[Element]:
    """Each limit, and how far it was used; what the cache answers fills it as well."""
    limits: dict[str, float | None] = material.kept.config.budget.model_dump()
    granted = {name: limit for name, limit in limits.items() if limit is not None}
    if not granted:
        yield note("No limit was set.")
        return
    result = material.result
    usage, saved = result.usage, result.spending.saved if result.spending else Amount()
    tokens = usage.prompt_tokens + usage.completion_tokens
    spent = {
        "requests": usage.requests + saved.requests,
        "prompts": usage.prompts + saved.prompts,
        "tokens": tokens + saved.tokens,
        "usd": usage.usd + saved.usd,
        "seconds": usage.seconds,
    }
    rows: list[tuple[Node, list[Node]]] = [
        (
            NAMED.get(name, name),
            [_told(name, spent[name]), _told(name, limit), _bar(spent[name], limit)],
        )
        for name, limit in granted.items()
    ]
    caption = "The budget" + (", with what the cache answered" if saved != Amount() else "")
    yield table(caption, ["Limit", "Used", "Granted", "Share"], rows, kind="figures drawn")


def _told(name: str, value: float) -> str:
    if name == "usd":
        return dollars(value)
    return duration(value) if name == "seconds" else f"{value:,}"


def trouble(material: Material) -> Element | None:
    """Retries by cause and what the run had to say; None where all went well."""
    usage, notes = material.result.usage, material.notes
    causes: Counter[str] = Counter()
    for retry in material.retries:
        causes[retry.cause] += retry.times
    if not (causes or notes or usage.retries or usage.failures):
        return None
    parts: list[Node] = []
    if usage.retries or usage.failures or causes:
        said = f"{counted(max(usage.retries, causes.total()), 'request')} sent again;"
        said += f" {usage.failures:,} without a usable answer, all tries and texts counted."
        parts.append(tag("p", said))
    if causes:
        waited = dict.fromkeys(causes, 0.0)
        for retry in material.retries:
            waited[retry.cause] += retry.wait * retry.times
        rows = [
            (ellipsis(cause, NAME), [f"{n:,}", duration(waited[cause])])
            for cause, n in causes.most_common()
        ]
        parts.append(
            table("Why they were sent again", ["Cause", "Retries", "Waited"], rows, kind="figures")
        )
    if notes:
        parts.append(tag("ul", (tag("li", ellipsis(one)) for one in notes[:NOTES])))
    if len(notes) > NOTES:
        parts.append(note(f"and {len(notes) - NOTES:,} more in events.jsonl"))
    return section("trouble", "What it had to say", *parts)
