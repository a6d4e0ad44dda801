"""An explanation as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from math import log

from bdpl_async.result import Result
from bdpl_async.studies.dissection import Dissection, Effect, Likeness, Shift
from bdpl_async.studies.explanation import Flip, Flips, Place
from bdpl_async.wording import counted, percent, signed
from bdpl_cli.columns import PIPE, short, wrapped
from bdpl_cli.evaluated import told_usage
from bdpl_cli.explained import Explained
from bdpl_cli.plaintext import clean

__all__ = ["lines"]

TOKEN = 19
SHOWN = 5  # flipped examples of each kind, unless the reader says
NEAREST = 3


def lines(found: Explained) -> Iterator[str]:
    """The whole, for a person."""
    result = found.kept.result
    yield from wrapped(f"{result.task} on {result.model} by {result.method}, seed {result.seed}")
    yield f"prompt: {clean(result.prompt) or '(empty)'}"
    if found.places is not None:
        size = len(found.kept.policy.vocabulary) if found.kept.policy is not None else 1
        yield from _places(found.places, size)
    if found.asked is not None:
        dissection, usage = found.asked
        yield from _effects(dissection, found.split)
        yield from _phrases(dissection.phrases)
        yield ""
        yield from wrapped(f"asked: {told_usage(usage)}")
    if found.flips is not None:
        yield from _flips(found, found.flips)
    for note in found.notes:
        yield from wrapped(f"note: {note}")


def _places(rows: tuple[Place, ...], size: int) -> Iterator[str]:
    yield ""
    yield "Odds of each position: entropy in nats, its share of no idea at all"
    yield f"(log {size} = {log(size):.2f}), and the likeliest candidates; * is in the prompt"
    for row in rows:
        start = f"{row.position:3} {row.entropy:5.2f} {row.share:4.0%} "
        first, *likely = [(one.token, one.probability) for one in row.top]
        if row.token is not None and row.token != first[0]:
            likely = [one for one in likely if one[0] != row.token]
            likely.insert(0, (row.token, row.probability or 0.0))
        for token, probability in (first, *likely):
            mark = "*" if token == row.token else ""
            more = f" {short(token, TOKEN)}{mark} {probability:.3f}"
            if len(start) + len(more) > PIPE:
                break
            start += more
        yield start


def _effects(found: Dissection, split: str) -> Iterator[str]:
    full, name = found.full, found.full.metric
    loss = "" if found.loss is None else f", mean loss {found.loss:.3f}"
    yield ""
    yield from wrapped(f"The whole prompt on {split}: {name} {percent(full)}{loss}")
    if not found.effects:
        return
    yield ""
    yield f"Without one token, less the whole prompt: {name} in points, mean loss in nats,"
    yield "both with paired 95 % intervals, and how many predictions change"
    yield f"  # {'left out':{TOKEN}} {short(name, 8):>8} {'':15} {'loss':>7} {'':15} changed"
    yield from map(_effect, found.effects)


def _effect(row: Effect) -> str:
    low, high = row.gain.ci95
    ends = f"[{signed(low)} {signed(high)}]"
    change = f"{signed(row.gain.score):>8} {ends:15}"
    token = f"{short(row.token, TOKEN):{TOKEN}}"
    return f"{row.position:3} {token} {change} {_shift(row.loss)} {row.changed:7}"


def _phrases(rows: tuple[Likeness, ...]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield "Manual phrases that make the model answer most alike. This is nearness of"
    yield "behaviour on these examples, not of meaning; divergence is Jensen-Shannon's."
    for row in rows[:NEAREST]:
        numbers = f"{row.divergence:7.4f} nats, {row.agreement:5.1f} % agree"
        yield f"{numbers}  {short(row.phrase, PIPE - len(numbers) - 2)}"


def _flips(found: Explained, flips: Flips) -> Iterator[str]:
    yield ""
    name = _noun(found.kept.result)
    what = "Learned" if name == "learned" else "This"
    examples = counted(flips.n, f"{found.split} example")
    yield f"{what} against empty prompt on {examples}, as the run asked:"
    yield (
        f"{len(flips.gained):,} gained, {len(flips.lost):,} lost, {flips.both_right:,} right with"
        f" both, {flips.both_wrong:,} with neither"
    )
    most = found.limit or SHOWN
    for title, rows in (("gained", flips.gained), ("lost", flips.lost)):
        if rows:
            shown = f"the {most} clearest of {len(rows):,}" if len(rows) > most else "all"
            yield f"{title} ({shown}; in brackets nats by which the true label leads):"
        for flip in rows[:most]:
            yield from _flip(found, flip)


def _flip(found: Explained, flip: Flip) -> Iterator[str]:
    learned = f"{_noun(found.kept.result)} {_said(found, flip.learned)} ({_margin(flip.margin)})"
    empty = f"empty {_said(found, flip.empty)} ({_margin(flip.empty_margin)})"
    row = f"{found.split} row {flip.row}"  # counted within the split: no line of a file
    yield "  " + short(f"{row}, {_said(found, flip.label)}: {learned}, {empty}", PIPE - 2)
    columns = found.columns(flip)
    if columns is not None:
        yield "    " + short(" | ".join(columns.values()), PIPE - 4)


def _noun(result: Result) -> str:
    """What the prompt of a run is called beside the empty one."""
    return "learned" if result.steps_done else "prompt"


def _said(found: Explained, index: int) -> str:
    """A label by its data value, or by its word where the value is a mere number."""
    value = found.value(index)
    if value is None:
        return "nothing"
    return clean(found.kept.result.labels[value].strip() if value.isdigit() else value)


def _margin(value: float | None) -> str:
    return "?" if value is None else f"{value:+.2f}"


def _shift(shift: Shift) -> str:
    if shift.mean is None or shift.ci95 is None:
        return f"{'?':>7} {'':15}"
    return f"{shift.mean:+7.3f} {_interval(shift.ci95):15}"


def _interval(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:+.3f} {ends[1]:+.3f}]"
