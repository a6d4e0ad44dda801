"""Cards: what a notebook shows of a result, an event, an estimate, a comparison.

Built of elements, so nothing that stands in a prompt or a row can be more than text. Styles stand
in the elements and take the notebook's own colours, so that a card is read in light and in dark.
Imported when something is shown, and not before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from bdpl_async.markup import Element, Node, html, shaded, tag
from bdpl_async.methods import FIXED
from bdpl_async.wording import counted, dollars, percent, points, signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bdpl_async.estimate import Estimate
    from bdpl_async.evaluation import Evaluation, Gain
    from bdpl_async.events import Evaluated, Step
    from bdpl_async.result import Result, Totals
    from bdpl_async.studies.comparison import Difference, Mean
    from bdpl_async.studies.scoreboard import Row, Scoreboard

__all__ = [
    "card",
    "estimate_card",
    "evaluation_card",
    "event_card",
    "gain_card",
    "policy_card",
    "prompt_of",
    "result_card",
    "scoreboard_card",
    "scored",
    "step_of",
    "table",
    "used",
]

BOX: Final = (
    "border-left:3px solid rgba(217,119,6,0.8);padding:0.1em 0.9em;margin:0.4em 0;line-height:1.5;"
    "overflow-wrap:anywhere"
)
CODE: Final = (
    "font-family:monospace;white-space:pre-wrap;color:inherit;padding:0.1em 0.3em;"
    "background:rgba(128,128,128,0.15);border-radius:3px"
)
TABLE: Final = "border-collapse:collapse;margin:0.3em 0;color:inherit"
CELL: Final = (
    "text-align:left;vertical-align:top;padding:0.1em 1.2em 0.1em 0;border:0;"
    "background:transparent;color:inherit"
)
ROW: Final = "background:transparent"
FAINT: Final = "opacity:0.75"
NONE: Final = "-"
MOST: Final = 50  # positions of a policy that are listed


def card(*parts: Node | Iterable[Node]) -> str:
    """The parts in a box, as a notebook takes them."""
    return html(tag("div", *parts, style=BOX))


def table(head: Sequence[str], rows: Iterable[Sequence[Node | Iterable[Node]]]) -> Element:
    """A table with a line of headings."""
    headings = [
        tag("th", name, style=f"{CELL};font-weight:600;white-space:nowrap") for name in head
    ]
    lines = [tag("tr", headings, style=ROW)]
    lines += [tag("tr", [tag("td", cell, style=CELL) for cell in row], style=ROW) for row in rows]
    return tag("table", lines, style=TABLE)


def prompt_of(text: str, tokens: Sequence[str] = (), odds: Sequence[float] = ()) -> Element:
    """A prompt as it is sent, its tokens shaded by their odds where these are known."""
    if not text:
        return tag("i", "the empty prompt")
    inside = shaded(tokens, odds) if tokens and len(odds) == len(tokens) else text
    return tag("code", inside, style=CODE)


def result_card(result: Result) -> str:
    """The prompt, its scores beside those of the empty prompt, and what it cost."""
    noun = "Prompt" if result.method in FIXED else "Learned prompt"
    base = result.baseline
    rows = [
        [split, _score(mine), _score(bare)]
        for split, mine, bare in (("dev", result.dev, base.dev), ("test", result.test, base.test))
        if mine is not None or bare is not None
    ]
    notes = []
    if result.gain is not None:
        notes.append(f"Gain on test: {_gain(result.gain)}.")
    if (result.chosen_from or 0) > 1:
        notes.append(f"Chosen on dev from {result.chosen_from}, so dev flatters it.")
    if result.cut_off:
        notes.append("The run was cut off: this is its best guess by then.")
    return card(
        tag(
            "div", tag("b", result.task), f" on {result.model}, {result.method}, seed {result.seed}"
        ),
        tag("div", f"{noun}: ", prompt_of(result.prompt)),
        [table(["", "this prompt", "empty prompt"], rows)] if rows else [],
        [tag("div", note) for note in notes],
        tag(
            "div",
            f"{counted(result.steps_done, 'update')}, ended by {result.stop_reason}; ",
            used(result.usage),
            style=FAINT,
        ),
    )


def used(totals: Totals) -> str:
    """``5,000 prompts in 160 requests, 3 from the cache, $0.0123, 12.3 s``."""
    parts = [f"{counted(totals.prompts, 'prompt')} in {counted(totals.requests, 'request')}"]
    parts += [f"{totals.cache_hits:,} from the cache"] if totals.cache_hits else []
    parts += [f"{counted(totals.failures, 'failure')}"] if totals.failures else []
    parts += [dollars(totals.usd)] if totals.usd else []
    return ", ".join([*parts, f"{totals.seconds:.1f} s"])


def evaluation_card(found: Evaluation) -> str:
    """The metric, its value and its interval."""
    return card(f"{found.metric}: ", tag("b", percent(found)))


def gain_card(gain: Gain) -> str:
    """The difference in points, its interval, and how well chance explains it."""
    return card("gain: ", tag("b", _gain(gain)))


def event_card(event: object) -> str:
    """Whatever a run says, in a line or two."""
    from bdpl_async.events import Finished

    return result_card(event.result) if isinstance(event, Finished) else card(_told(event))


def _told(event: object) -> list[Node]:
    from bdpl_async.events import Evaluated, Note, Probed, Retry, Started, Step

    match event:
        case Started():
            rows = (
                f"{event.train:,} rows to learn from, {event.dev:,} of dev, {event.test:,} of test"
            )
            head = f" on {event.model}, {event.method}, seed {event.seed}"
            return [tag("div", tag("b", event.task), head), tag("div", rows, style=FAINT)]
        case Probed():
            how = f"read by {event.readout}, " if event.readout else ""
            many = f"up to {counted(event.batch, 'text')} a request"
            words = ", ".join(map(repr, event.labels))
            return [f"the model answers: {how}{many}; label words {words}"]
        case Retry():
            wait = f"sent again in {event.wait:.1f} s, attempt {event.attempt}"
            return [tag("b", event.cause), f": {wait}. {event.reason}"]
        case Step():
            return step_of(event)
        case Evaluated():
            return [tag("div", scored(event))]
        case Note():
            return [tag("b", "note: "), event.message]
    raise TypeError(f"no event of a run: {type(event).__name__}")


def step_of(event: Step) -> list[Node]:
    """Loss, entropy and the best guess after one update."""
    head = f"update {event.step}: loss {event.loss:.4f}, entropy {event.entropy:.3f} nats"
    return [tag("div", head), tag("div", prompt_of(event.prompt, event.tokens, event.odds))]


def scored(event: Evaluated) -> list[Node]:
    """Which prompt, on which split, and its score; whether it was learned is the method's word."""
    which = "empty prompt" if event.role == "empty" else "prompt"
    parts: list[Node] = [f"{which} on {event.split}: ", tag("b", percent(event.result))]
    return parts if event.role == "empty" else [*parts, " ", prompt_of(event.prompt)]


def estimate_card(found: Estimate) -> str:
    """What a run would take at most, by what it is for."""
    names = ("requests", "prompts", "tokens")
    rows: list[list[Node]] = [
        [part, *(f"{getattr(amount, name):,}" for name in names), dollars(amount.usd)]
        for part, amount in found.parts.items()
    ]
    money = NONE if found.usd is None else dollars(found.usd)
    rows.append([tag("b", "in all"), *(f"{getattr(found, name):,}" for name in names), money])
    buys = found.budget_updates
    bought = "" if buys is None else f"; the budget buys {counted(buys, 'update')}"
    counting = "exact" if found.exact else "an upper bound"
    return card(
        tag("div", "at most, for ", tag("b", counted(found.updates, "update")), bought),
        table(["", *names, "cost"], rows),
        tag("div", f"tokens are {counting}", style=FAINT),
        [tag("div", f"note: {note}", style=FAINT) for note in found.notes],
    )


def scoreboard_card(board: Scoreboard) -> str:
    """All arms side by side; differences are to the first."""
    rows = [_arm(row) for row in board.rows]
    where = "nothing to compare" if board.split is None else f"differences on {board.split}"
    head = f", {board.task.metric}, {counted(len(board.seeds), 'seed')}, {where}"
    return card(
        tag("div", tag("b", board.task.name), head),
        table(["arm", "dev", "test", "over empty", "over the first", "prompt"], rows),
        [tag("div", f"note: {note}", style=FAINT) for note in board.notes],
    )


def policy_card(probabilities: NDArray) -> str:  # type: ignore[type-arg]
    """For each position the likeliest candidate, by number, and how sure the policy is.

    Args:
        probabilities: (n, N).
    """
    from bdpl_async.policy import entropy

    length, size = probabilities.shape
    rows = [
        [f"{place}", f"{row.argmax()}", f"{row.max():.3f}", f"{entropy(row[None]):.3f}"]
        for place, row in enumerate(probabilities[:MOST], start=1)
    ]
    more = f"; the first {MOST} are shown" if length > MOST else ""
    return card(
        tag("div", f"{counted(length, 'position')}, {size:,} candidates{more}"),
        table(["position", "likeliest", "probability", "entropy (nats)"], rows),
    )


def _arm(row: Row) -> list[Node]:
    best = row.best.result
    return [
        row.arm.name,
        _mean(row.dev),
        _mean(row.test),
        _difference(row.gain),
        _difference(row.against),
        prompt_of(best.prompt),
    ]


def _score(found: Evaluation | None) -> str:
    return NONE if found is None else percent(found)


def _gain(gain: Gain) -> str:
    return f"{points(gain)}, p = {gain.p_value:.3g}"


def _mean(found: Mean | None) -> str:
    if found is None:
        return NONE
    low, high = (100 * end for end in found.ci95)
    return f"{100 * found.mean:.1f} % ({low:.1f} to {high:.1f}, n={found.n})"


def _difference(found: Difference | None) -> str:
    if found is None:
        return NONE
    verdict = "real" if found.real else "may be chance"
    return f"{signed(found.score)} points, {verdict} (p = {found.p_adjusted:.3g})"
