"""The rules of `bdpl_async.scorer`: little is asked of a provider."""

from __future__ import annotations

import pytest

from bdpl_async.records import Reply, Request, Score
from bdpl_async.scorer import Capabilities, Line, Probing, Scorer, capabilities_of


class Plain:
    """The smallest scorer there can be."""

    name = "mine/plain"

    async def score(self, request: Request) -> Reply:
        return Reply([Score((-1.0, -2.0)) for _ in request.texts])


class Rich(Plain):
    """A scorer that says how it likes to be asked, and can be probed."""

    capabilities = Capabilities(batch=9, order="length", concurrency=1, local=True)

    async def probe(self, request: Request, line: Line) -> Capabilities:
        return self.capabilities


def test_a_name_and_one_coroutine_are_enough() -> None:
    """Such an object is a Scorer to the type checker, asked one text at a time, and not probed."""
    scorer: Scorer = Plain()
    assert capabilities_of(scorer) == Capabilities(batch=1, order="prompt", concurrency=None)
    assert not isinstance(scorer, Probing)


def test_what_a_scorer_says_of_itself_is_taken() -> None:
    """An attribute `capabilities` and a method `probe` are found without registration."""
    scorer: Scorer = Rich()
    assert capabilities_of(scorer) is Rich.capabilities
    assert isinstance(scorer, Probing)


@pytest.mark.parametrize("odd", [None, 3, {"batch": 9}])
def test_an_attribute_of_that_name_and_another_kind_is_not_misread(odd: object) -> None:
    """Only `Capabilities` are capabilities."""
    scorer = Plain()
    scorer.capabilities = odd  # type: ignore[attr-defined]  # what a stranger's class may hold
    assert capabilities_of(scorer) == Capabilities()
