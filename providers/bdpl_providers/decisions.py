"""Label probabilities from OpenAI's ``/decisions``, which weighs choices instead of writing text.

One body holds up to 400 questions about one input. Our texts have nothing in common, so each is a
question of its own, the label words are its choices, and the input only says how to read them; a
text is asked in the same form whether it travels alone or with others.

Not known here: how the probabilities are rounded, whether they carry noise, whether one question
sways another, and how many tokens a question is billed for beside its words. So values near 0 are
taken as bounds, and what the usage reports is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from bdpl_async.errors import LabelError, UnusableAnswer
from bdpl_async.records import Score
from bdpl_providers.chat import asking
from bdpl_providers.wire import Document

__all__ = ["GLAD", "MOST_CHOICES", "MOST_QUESTIONS", "Decisions"]

MOST_QUESTIONS: Final = 400
MOST_CHOICES: Final = 255
GLAD: Final = 16  # texts a request that lose little when one request fails
LEAST: Final = 1e-6  # a smaller probability may be nothing but rounding
EXCESS: Final = 1e-3  # by which rounding may lift a probability, or their sum, above 1
ALONE: Final = "Each question brings a text of its own; judge it by that text alone."

Outcome = Score | UnusableAnswer


@dataclass(frozen=True, slots=True)
class Decisions:
    """Asks for the probability of each label word, many texts at a time.

    The words are sent without their leading space. Probabilities stay as they came, unless they
    sum to more than 1; `Score.mass` is their sum, near 1, for only the choices are weighed.

    Attributes:
        model: its name on the server.
        labels: 2 to 255 label words that differ in more than spaces.
        system: what is said before all questions; None says that each stands alone.
        ask: the line after the text; None asks for exactly one of the label words.

    Raises:
        LabelError: too few or too many label words, or two that are the same choice.
    """

    model: str
    labels: tuple[str, ...]
    system: str | None = None
    ask: str | None = None

    name: ClassVar[str] = "decisions"
    path: ClassVar[str] = "/decisions"
    lists: ClassVar[bool] = True
    completion: ClassVar[int] = 16  # an answer is not billed by its length as far as is known

    def __post_init__(self) -> None:
        """Refuse label words that cannot be choices."""
        words = [label.strip() for label in self.labels]
        if not 2 <= len(words) <= MOST_CHOICES:
            raise LabelError(
                f"{self.model}: a decision has 2 to {MOST_CHOICES} choices, not {len(words)}",
                hint="choose another read-out: --readout chat or text",
            )
        if len(set(words)) < len(words) or not all(words):
            raise LabelError(
                f"{self.model}: the label words {self.labels} are not all different choices",
                hint="give each label a word of its own; spaces around it do not count",
            )

    def body(self, texts: Sequence[str]) -> dict[str, object]:
        """One question per text, named by its place.

        Raises:
            ValueError: more texts than one body can hold.
        """
        if not 1 <= len(texts) <= MOST_QUESTIONS:
            raise ValueError(f"1 to {MOST_QUESTIONS} texts, not {len(texts)}")
        ask = asking(self.labels, self.ask)
        choices = [{"value": label.strip()} for label in self.labels]
        questions = [
            {
                "type": "choice",
                "name": _name(place),
                "instructions": f"{text}\n{ask}",
                "choices": choices,
            }
            for place, text in enumerate(texts)
        ]
        return {
            "model": self.model,
            "input": ALONE if self.system is None else self.system,
            "questions": questions,
        }

    def scores(self, document: Document, count: int) -> list[Outcome]:
        """One outcome per text: by the names of the answers, by their order if none has a name."""
        answers = document.get("answers")
        if not isinstance(answers, list):
            return [UnusableAnswer(f"{self.model}: the reply holds no list of answers")] * count
        return [self._outcome(found, place) for place, found in enumerate(_sorted(answers, count))]

    def _outcome(self, answers: list[object], place: int) -> Outcome:
        if len(answers) != 1:
            flaw = "no answer is" if not answers else f"{len(answers)} answers are"
            return UnusableAnswer(f"{self.model}: {flaw} named {_name(place)!r}")
        (answer,) = answers
        try:
            return self._score(answer)
        except UnusableAnswer as error:
            return UnusableAnswer(
                f"{self.model}: the answer {_name(place)!r} {error.args[0]}",
                hint=error.hint,
                retryable=error.retryable,
            )

    def _score(self, answer: object) -> Score:
        if not isinstance(answer, dict):
            raise UnusableAnswer("is no object")
        if answer.get("type") == "refusal":
            raise UnusableAnswer(
                "is a refusal",
                hint="the model declines to judge this text; another read-out may take it",
                retryable=False,
            )
        shares = _probabilities(answer.get("probabilities"))
        values = []
        for label in self.labels:
            if (word := label.strip()) not in shares:
                raise UnusableAnswer(f"has no probability for {word!r}")
            values.append(shares[word])
        mass = math.fsum(values)
        if not LEAST < mass < 1 + EXCESS * len(values):
            raise UnusableAnswer(f"has probabilities that sum to {mass:.6g}")
        whole = max(mass, 1.0)  # rounding may lift a sum above 1, where no probability belongs
        return Score(
            tuple(math.log(min(max(value / whole, LEAST), 1 - LEAST)) for value in values),
            mass=min(mass, 1.0),
            censored=tuple(value <= LEAST for value in values),
        )


def _name(place: int) -> str:
    return f"text-{place}"


def _sorted(answers: Sequence[object], count: int) -> list[list[object]]:
    """The answers for each place: by name where any has a name, else by order if none is missing.

    An answer by an unknown name belongs to no text and is passed over.
    """
    names = [answer.get("name") if isinstance(answer, dict) else None for answer in answers]
    if all(name is None for name in names):
        return [[answer] for answer in answers] if len(answers) == count else [[]] * count
    places: dict[object, list[object]] = {_name(place): [] for place in range(count)}
    for name, answer in zip(names, answers, strict=True):
        if isinstance(name, str) and name in places:
            places[name].append(answer)
    return list(places.values())


def _probabilities(listed: object) -> dict[str, float]:
    """Choice -> probability.

    Raises:
        UnusableAnswer: there is no list, or something in it is no probability.
    """
    if not isinstance(listed, list):
        raise UnusableAnswer("has no list of probabilities")
    found: dict[str, float] = {}
    for entry in listed:
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, str):
            continue  # a choice that was not offered; ours are texts
        share = entry.get("probability")
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise UnusableAnswer(f"has {_kind(share)} as the probability of {value[:40]!r}")
        if not 0 <= share <= 1 + EXCESS:  # NaN is neither
            raise UnusableAnswer(f"gives {value[:40]!r} a probability outside 0 to 1")
        if value in found:
            raise UnusableAnswer(f"names the choice {value[:40]!r} twice")
        found[value] = float(share)
    return found


def _kind(value: object) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
