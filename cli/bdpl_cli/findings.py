"""What `probe` found out about one model, as one JSON document and as lines for a person.

It sends nothing and prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from textwrap import wrap
from typing import TYPE_CHECKING

from bdpl_cli.plaintext import clean

if TYPE_CHECKING:
    from bdpl_async.records import Price, Quota
    from bdpl_async.result import Totals
    from bdpl_async.scorer import Capabilities
    from bdpl_providers.survey import Attempt, LabelWord, Survey

__all__ = ["Findings"]

GAP = " ... "
PLACEHOLDER = "'prompt' stands in for the words of a prompt; the second sample has none"
ANYWAY = 40  # columns that a text gets beside its name, however narrow the terminal is


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is known after a probe.

    Attributes:
        survey: every read-out that was tried; of a scorer without a survey, its only one.
        capabilities: how a run would ask; None if it could not.
        samples: the texts that were sent, as a causal model reads them.
        usage: what all of it consumed.
        task: the task's name, if there is one.
        price: USD per million tokens, if it is known.
        local: the model runs here and costs nothing.
        notes: what a run would say aloud, and what the probe has to say, a sentence each.
        trouble: why a run could not use the model; else empty.
    """

    survey: Survey
    capabilities: Capabilities | None
    samples: tuple[str, ...]
    usage: Totals
    task: str | None = None
    price: Price | None = None
    local: bool = False
    notes: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def readouts(self) -> dict[str, Attempt]:
        """Each read-out by its name, best first; of several ways to one, the one that works."""
        found: dict[str, Attempt] = {}
        for attempt in self.survey.attempts:
            other = found.get(attempt.readout, attempt)
            if attempt is other or (attempt.works and not other.works):
                found[attempt.readout] = attempt
            elif not other.works and attempt.detail not in other.detail:
                both = f"{other.detail}; {attempt.detail}"
                found[attempt.readout] = replace(other, detail=both)
        return found

    @property
    def chosen(self) -> Attempt | None:
        """The read-out that a run would take."""
        if self.capabilities is None:
            return None
        first = self.survey.attempts[0].readout
        return self.readouts.get(self.capabilities.readout or first)

    def document(self) -> dict[str, object]:
        """The findings as JSON; its keys are listed in `bdpl_cli.probe`."""
        chosen, seen = self.chosen, self._seen
        return {
            "model": self.survey.name,
            "base_url": self.survey.base_url or None,
            "task": self.task,
            "readouts": {name: _readout(one) for name, one in self.readouts.items()},
            "chosen": chosen.readout if chosen else None,
            "labels": {
                label.word: {
                    "ids": label.ids,
                    "pieces": label.pieces,
                    "single": label.single,
                    "logprobs": [values[index] for values in seen],
                }
                for index, label in enumerate(self.survey.labels)
            },
            "label_mass": chosen.mass if chosen else None,
            "samples": self.samples,
            "limits": self._limits(),
            "models": self.survey.models,
            "price": asdict(self.price) if self.price else None,
            "notes": self.notes,
            "trouble": self.trouble or None,
            "usage": asdict(self.usage),
        }

    @property
    def _seen(self) -> tuple[tuple[float, ...], ...]:
        """Per sample that was answered, the log-probabilities of the labels."""
        return self.chosen.logprobs if self.chosen else ()

    def _limits(self) -> dict[str, object]:
        chosen, found = self.chosen, self.capabilities
        lists = [one.lists for one in self.readouts.values() if one.lists is not None]
        return {
            "context_tokens": self.survey.max_model_len,
            "texts_per_request": found.batch if found else None,
            "lists": any(lists) if lists else None,
            "top_logprobs": self._depth,
            "temperature_ignored": chosen.temperature_ignored if chosen else None,
            "concurrency": found.concurrency if found else None,
            "quotas": [asdict(quota) for quota in self.survey.quotas],
        }

    @property
    def _depth(self) -> int | None:
        """The longest list of likely tokens that the server gave; None if it gave none."""
        return max((one.depth for one in self.readouts.values()), default=0) or None

    def lines(self, width: int) -> list[str]:
        """The findings for a person, `width` columns wide where that can be."""
        where = f" at {self.survey.base_url}" if self.survey.base_url else ", on this machine"
        where = where if self.survey.base_url or self.local else ""
        parts = [
            [f"{self.survey.name}{where}", *self._verdict()],
            ["Read-outs", *self._readout_lines(width)],
            ["Label words", *self._label_lines(width)],
            ["Samples", *self._sample_lines(width)],
            ["Limits", *self._limit_lines(width)],
            [self._used(), ""],
        ]
        lines = [line for part in parts if len(part) > 1 for line in (*part, "")][:-1]
        lines += [
            line for note in self.notes for line in _hanging("note: ", self._said(note), width)
        ]
        return [clean(line).rstrip() for line in (lines if self.notes else lines[:-1])]

    def _sample_lines(self, width: int) -> Iterator[str]:
        for number, sample in enumerate(self.samples, start=1):
            yield f"  {number}  {_both_ends(repr(sample), max(width - 5, ANYWAY))}"
        if self.task is not None:
            yield from _hanging("  ", PLACEHOLDER, width)

    def _verdict(self) -> Iterator[str]:
        chosen, found = self.chosen, self.capabilities
        if chosen is None or found is None:
            yield "A run could not use it."
            return
        many = f"up to {found.batch} texts a request" if found.batch > 1 else "one text a request"
        by = f"read it by {chosen.readout}" if self.survey.base_url else "read it"
        yield f"A run would {by}, {many}."

    def _readout_lines(self, width: int) -> Iterator[str]:
        longest = max(len(name) for name in self.readouts)
        for name, attempt in self.readouts.items():
            sign = "*" if attempt is self.chosen else " "
            works = "works" if attempt.works else "does not work"
            head = f"{sign} {name:<{longest}}  {works:<13}  "
            yield from _hanging(head, self._said(attempt.detail or attempt.reads), width)
            for note in attempt.notes:
                if note not in self.notes:
                    yield from _hanging(" " * len(head), self._said(note), width)

    def _label_lines(self, width: int) -> Iterator[str]:
        labels, seen = self.survey.labels, self._seen
        longest = max(len(repr(label.word)) for label in labels)
        tokens = [_tokens(label) for label in labels]
        wide = max(map(len, tokens))
        for index, label in enumerate(labels):
            values = "".join(f"{sample[index]:>11.4f}" for sample in seen)
            yield f"  {label.word!r:<{longest}}  {tokens[index]:<{wide}}{values}"
        if self.survey.trouble:
            yield from _hanging("  ", self._said(self.survey.trouble), width)
        if seen:
            which = "after each sample" if len(seen) == len(self.samples) else "after one sample"
            yield from _hanging("  ", f"log-probabilities (nats) {which}{self._mass()}", width)

    def _mass(self) -> str:
        mass = self.chosen.mass if self.chosen else None
        return "" if mass is None else f"; label mass {mass:.3g}: their share of all belief"

    def _limit_lines(self, width: int) -> Iterator[str]:
        limits = self._limits()
        told = {
            "context length": _if_known(self.survey.max_model_len, "{:,} tokens"),
            "lists of texts": {True: "taken", False: "not taken", None: None}[
                limits["lists"] if isinstance(limits["lists"], bool) else None
            ],
            "top log-probabilities": _if_known(self._depth, "{} at most"),
            "temperature": self._temperature(),
            "in flight": _if_known(
                self.capabilities.concurrency if self.capabilities else None, "{} at most"
            ),
            "models served": _short(", ".join(self.survey.models), 3 * ANYWAY) or None,
            **{f"rate of {quota.unit}": _quota(quota) for quota in self.survey.quotas},
        }
        for name, text in told.items():
            if text is not None:
                yield from _hanging(f"  {name:<21}  ", text, width)

    def _temperature(self) -> str | None:
        ignored = self.chosen.temperature_ignored if self.chosen else None
        if ignored is None:
            return None
        return "does not change log-probabilities" if ignored else "changes log-probabilities"

    def _used(self) -> str:
        usage = self.usage
        tokens = usage.prompt_tokens + usage.completion_tokens
        cost = f"${usage.usd:.6f}" if self.price or usage.usd else "no price is known"
        cost = "free" if self.local else cost
        counts = {"request": usage.requests, "prompt": usage.prompts, "token": tokens}
        counted = ", ".join(f"{n:,} {noun}{'s' * (n != 1)}" for noun, n in counts.items())
        return f"This probe took {counted}, {usage.seconds:.1f} s; {cost}"

    def _said(self, text: str) -> str:
        """A sentence without the scorer's name, which stands above."""
        return text.removeprefix(f"{self.survey.name}: ")


def _readout(attempt: Attempt) -> dict[str, object]:
    return {
        "works": attempt.works,
        "detail": attempt.detail,
        "reads": attempt.reads,
        "top_logprobs": attempt.depth or None,
        "lists": attempt.lists,
        "temperature_ignored": attempt.temperature_ignored,
        "label_mass": attempt.mass,
        "censored": attempt.censored,
        "logprobs": attempt.logprobs,
        "notes": attempt.notes,
    }


def _tokens(label: LabelWord) -> str:
    """``1 token (352)``, or the pieces of a word that is several; empty where nobody tells."""
    if label.single is None:
        return ""
    if label.single:
        return f"1 token ({', '.join(map(str, label.ids))})"
    pieces = map(repr, label.pieces) if label.pieces else map(str, label.ids)
    return f"{len(label.ids)} tokens ({', '.join(pieces)})"


def _quota(quota: Quota) -> str:
    parts = (
        _if_known(quota.limit, "{:g} allowed"),
        _if_known(quota.remaining, "{:g} left"),
        _if_known(quota.reset, "whole again in {:.3g} s"),
    )
    return ", ".join(part for part in parts if part)


def _if_known(value: float | None, form: str) -> str | None:
    return None if value is None else form.format(value)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _both_ends(text: str, most: int) -> str:
    """`text` without its middle: the end is what the model goes on from."""
    if len(text) <= most:
        return text
    head = (most - len(GAP)) // 3
    begin, end = text[:head], text[head + len(GAP) - most :]
    return (begin.rpartition(" ")[0] or begin) + GAP + (end.partition(" ")[2] or end)


def _hanging(head: str, text: str, width: int) -> Iterable[str]:
    """`text` behind `head`, its further lines beneath its first."""
    room = max(width - len(head), ANYWAY)
    first, *rest = wrap(clean(text), room) or [""]
    indent = " " * len(head)
    lines: Sequence[str] = (head + first, *(indent + line for line in rest))
    return lines
