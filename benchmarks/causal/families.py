"""Eleven families of texts, the questions asked of each, and the words that answer.

The causal twin of ``questions.py`` of the built-in model: a family's questions share their answer
words, and only the prompt, which stands before the text, says which question is meant. The first
question is the task itself.
"""

from __future__ import annotations

import paths  # noqa: F401

from questions import Family

__all__ = ["FAMILIES", "LABEL_WORDS", "ROLES"]

ROLES = ("own", "opposite", "length", "comma", "person")
"""What a question can be: the task itself, or one of four that share its answers."""

Words = tuple[tuple[float, tuple[str, ...]], ...]

_TRUTHS = ("no", "yes"), ("wrong", "right"), ("incorrect", "correct"), ("false", "true")
_REVIEW = (
    (0.60, ("terrible", "great")), (0.15, ("bad", "good")), (0.10, ("negative", "positive")),
    (0.05, ("no", "yes")), (0.05, ("unhelpful", "helpful")), (0.05, ("wrong", "right")),
)  # fmt: skip
_ANSWER = (0.85, ("no", "yes")), (0.15, ("wrong", "right"))
_LEAST = 1.6, 1.3, 1.0, 1.0, 0.8
"""What each role weighs without any word of its own. The task needs four or five fitting words
until it outweighs all others together, so that a search sees accuracy rise word by word."""


_BOTH = "{text} {other} "
_IMPLIES = (_BOTH + "Answer:", _BOTH + "True:", "{text} {other}")
_SAME = (_BOTH + "Same:",) * 2 + (_BOTH + "Answer:",)


def _family(
    name: str,
    own: str,
    labels: str,
    templates: tuple[str, ...],
    words: Words,
    bins: tuple[int, ...],
) -> Family:
    """A family whose first template, that of the built-in task, is used in three of five texts."""
    rest = len(templates) - 1
    weighed = templates[:1] * (3 * rest) + templates[1:] * 2
    return Family(name, tuple(labels.split()), (own, *ROLES[1:]), _LEAST, weighed, words, bins)


def _sorting(name: str, pairs: str, end: str, bins: tuple[int, ...]) -> Family:
    """A family of scientific sentences with one word a class."""
    labels, words = zip(*(pair.split("=") for pair in pairs.split()), strict=True)
    mixed: Words = ((1.0, words),)
    if "result" in words:
        late = tuple("conclusion" if word == "result" else word for word in words)
        mixed = ((0.85, words), (0.15, late))
    templates = tuple("{text} " + ending for ending in (end, end, "Label:", "Answer:"))
    return _family(name, "science", " ".join(labels), templates, mixed, bins)


FAMILIES = (
    _family(
        "sst2", "opinion", "0 1",
        tuple("{text} " + end for end in (
            "It was", "It was", "It is", "This is", "All in all, it was", "Overall:", "That was",
        )), _REVIEW, (17,),
    ),
    _family(
        "cola", "grammar", "0 1",
        ("{text} Is this correct English, yes or no? Answer:", "{text} It is", "{text} It is",
         "{text} This is", "{text} Answer:"),
        ((0.45, _TRUTHS[0]), (0.45, _TRUTHS[1]), (0.1, _TRUTHS[2])), (7,),
    ),
    _family(
        "mnli", "inference", "contradiction neutral entailment",
        ("{text} Question: {other} Yes, maybe or no? Answer:", *_IMPLIES),
        ((0.9, ("no", "maybe", "yes")), (0.1, ("wrong", "maybe", "right"))), (6, 11),
    ),
    _family(
        "rte", "inference", "not_entailment entailment",
        ("{text} Question: {other} Yes or no? Answer:", *_IMPLIES), _ANSWER, (9,),
    ),
    _family(
        "qnli", "inference", "not_entailment entailment",
        ("Question: {text} Text: {other} Does the text answer the question, yes or no? Answer:",
         *_IMPLIES), _ANSWER, (24,),
    ),
    _family(
        "qqp", "same", "0 1",
        (_BOTH + "Do both ask the same, yes or no? Answer:", *_SAME), _ANSWER, (10,),
    ),
    _family(
        "mrpc", "same", "0 1",
        (_BOTH + "Do both say the same, yes or no? Answer:", *_SAME), _ANSWER, (21,),
    ),
    _sorting(
        "citation_intent", "Background=background CompareOrContrast=comparison Extends=extension "
        "Future=future Motivation=motivation Uses=use", "It is about", (18, 25, 32, 40, 55),
    ),
    _sorting(
        "sciie", "COMPARE=comparison CONJUNCTION=conjunction EVALUATE-FOR=evaluation "
        "FEATURE-OF=feature HYPONYM-OF=kind PART-OF=part USED-FOR=function",
        "The relation is", (17, 22, 27, 32, 38, 46),
    ),
    _sorting(
        "csabstruct", "background=background method=method objective=objective "
        "result=result other=other", "This is the", (14, 19, 24, 30),
    ),
    _family(
        "hyperpartisan", "bias", "false true",
        tuple("{text} " + end for end in ("This article is", "It is", "It is", "This is")),
        # No word serves two pairs here, or the answer would lean to it.
        ((0.84, ("neutral", "biased")), (0.08, ("false", "true")),
         (0.08, ("helpful", "unhelpful"))), (90,),
    ),
)  # fmt: skip

LABEL_WORDS = tuple(
    dict.fromkeys(word for family in FAMILIES for _, words in family.words for word in words)
)
