"""The rules of `bdpl_async.blame`: a bad text fails alone, a provider that is down ends the ask."""

from __future__ import annotations

import pytest

from bdpl_async.blame import Blame
from bdpl_async.errors import (
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    RequestFailed,
    ServerFault,
    UnusableAnswer,
)
from bdpl_async.records import Score

BUSY = ProviderUnavailable("503", fate="refused")
BROKEN = ServerFault("500", fate="refused")
LOST = ProviderUnavailable("reset")


@pytest.mark.parametrize("error", [BUSY, BROKEN, LOST])
def test_three_given_up_in_a_row_and_no_answer_is_down(error: ProviderError) -> None:
    """Whatever the error, when nothing of the ask came back, it is not the texts."""
    blame = Blame()
    blame.begin(5)
    for _ in range(2):
        blame.weigh(error, 5)
    with pytest.raises(type(error)):
        blame.weigh(error, 5)


@pytest.mark.parametrize("error", [BROKEN, LOST])
def test_a_bad_text_under_many_prompts_is_not_the_provider(error: ProviderError) -> None:
    """What breaks the server each time is the text's fault, as long as others were answered."""
    blame = Blame()
    blame.begin(5)
    for _ in range(50):
        blame.weigh(error, 6)


def test_a_provider_that_goes_away_in_the_middle_is_noticed() -> None:
    """Busy or unreachable, three times over: that others were answered before does not help."""
    blame = Blame()
    blame.begin(5)
    for _ in range(2):
        blame.weigh(BUSY, 9)
    with pytest.raises(ProviderUnavailable):
        blame.weigh(BUSY, 9)


def test_an_answer_between_clears_it() -> None:
    """A provider that answers now and then is not down."""
    blame = Blame()
    for answers in range(50):
        blame.weigh(BUSY, answers)


BAD = RequestFailed("too long", fate="refused")


def test_bad_requests_among_good_ones_are_not_the_provider() -> None:
    """What is refused for good says nothing of the others, as long as some are answered."""
    blame = Blame()
    blame.begin(5)
    for _ in range(50):
        blame.weigh(BAD, 6)


@pytest.mark.parametrize("error", [BAD, UnusableAnswer("null")])
def test_ten_without_anything_usable_are_enough(error: RequestFailed) -> None:
    """A server that refuses all, or says nothing usable to any, is not paid to the last cent."""
    blame = Blame()
    blame.begin(5)
    for _ in range(9):
        blame.weigh(error, 5)
    with pytest.raises(ProviderRefused, match="nothing usable"):
        blame.weigh(error, 5)


def test_an_answer_with_one_usable_number_is_an_answer() -> None:
    """Only a request that brought nothing at all counts."""
    blame = Blame()
    for _ in range(50):
        blame.weigh_all([UnusableAnswer("null"), Score((-1.0,))], 0)
