"""What a comparison comes to, in honest sentences: which differences are real, and which are not.

Real is what chance explains poorly once all that was compared is considered (Holm, below 0.05).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from bdpl_async.studies.comparison import Difference
from bdpl_async.wording import bounds, counted, signed
from bdpl_cli.page.contest import Contest, Contestant
from bdpl_cli.page.verdict import Verdict
from bdpl_cli.page.wording import ellipsis, probability, share

__all__ = ["contest_verdict"]

MOST = 6  # arms that a sentence names
NAME = 60  # characters


def contest_verdict(found: Contest) -> Verdict:
    """What can be said of these arms."""
    if found.split is None:
        text = "Nothing can be compared: not every arm has scores."
        return Verdict("open", text, ())
    told = [d for arm in found.arms for d in (arm.gain, arm.against) if d is not None]
    gains = [arm.gain for arm in found.arms if arm.gain is not None and arm.gain.real]
    kind: Literal["better", "worse", "same"] = "same"
    if any(d.real for d in told):
        kind = "worse" if gains and all(d.score < 0 for d in gains) else "better"
    return Verdict(kind, _leader(found), tuple(_details(found)))


def _leader(found: Contest) -> str:
    """Who scores highest, and whether that is more than chance."""
    first = found.arms[0]
    scored = [(score.mean, arm) for arm in found.arms if (score := found.score(arm)) is not None]
    top = max(mean for mean, _ in scored)
    best, *equals = [arm for mean, arm in scored if mean == top]
    mean = found.score(best)
    assert mean is not None  # noqa: S101  it is among those that have one
    where = f"on {found.split}: {share(mean.mean)} (95 %: {bounds(mean.ci95)}, n={mean.n:,})"
    if len(found.arms) == 1:
        return f"{_name(best)} scores {share(mean.mean)} {where.partition(': ')[0]}."
    said = f"{_name(best)} scores highest {where}."
    if equals:
        said = f"{_named([best, *equals])} score alike {where}."
    if best is first:
        others = [arm for arm in found.arms[1:] if arm.against is not None]
        level = [arm for arm in others if arm.against is not None and not arm.against.real]
        if not level:
            return f"{said} That is above every other arm by more than chance explains."
        return f"{said} It is not shown to differ from {_named(level)}."
    if best.against is not None and best.against.real:
        return f"{said} That is {_points(best.against)} above {_name(first)}, the first arm."
    return f"{said} It is not shown to differ from {_name(first)}, the first arm."


def _details(found: Contest) -> Iterator[str]:
    arms = found.arms
    rivals = [(arm, arm.against) for arm in arms if arm.against is not None]
    yield from _sorted_out(rivals, f"than {_name(arms[0])}, the first arm", found)
    gains = [(arm, arm.gain) for arm in arms if arm.gain is not None]
    yield from _sorted_out(gains, "than the empty prompt", found)
    if found.tested > 1:
        yield (
            f"{counted(found.tested, 'difference')} were tested; p is corrected for their number"
            " (Holm), and what is called better or worse has p < 0.05."
        )
    if found.split == "dev":
        yield "The scores are on dev, which prompts were chosen on, so they flatter searches."
    if all(arm.model.startswith("simulated/") for arm in arms):
        who = "The models are" if len(found.models) > 1 else "The model is"
        yield f"{who} simulated: scores mean nothing for a real one."


def _sorted_out(
    pairs: Sequence[tuple[Contestant, Difference]], reference: str, found: Contest
) -> Iterator[str]:
    """A sentence each on those that are better, worse, and not told apart."""
    better = [(arm, d) for arm, d in pairs if d.real and d.score > 0]
    worse = [(arm, d) for arm, d in pairs if d.real and d.score < 0]
    for word, group in (("Better", better), ("Worse", worse)):
        if group:
            yield f"{word} {reference}: {_listed([_told(arm, d) for arm, d in group])}."
    unsure = [f"{_name(arm)} ({signed(d.score)} points)" for arm, d in pairs if not d.real]
    if unsure:
        by = f"{counted(found.n, 'example')} and {counted(len(found.seeds), 'seed')}"
        yield f"Not shown to be better or worse {reference}, by {by}: {_listed(unsure)}."


def _told(arm: Contestant, found: Difference) -> str:
    return f"{_name(arm)} {_points(found)}"


def _points(found: Difference) -> str:
    sure = bounds(found.ci95, sign=True)
    chance = probability(found.p_adjusted)
    return f"{signed(found.score)} points (95 %: {sure}; {chance})"


def _named(arms: Sequence[Contestant]) -> str:
    return _listed([_name(arm) for arm in arms])


def _listed(words: Sequence[str]) -> str:
    """``a, b and c``; of many the first few."""
    if len(words) > MOST:
        words = [*words[: MOST - 1], f"{len(words) - MOST + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _name(arm: Contestant) -> str:
    return ellipsis(arm.name, NAME)
