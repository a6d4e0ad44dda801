"""What a server can do, every read-out tried and reported."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from bdpl_async.errors import ProviderRefused
from bdpl_async.records import Request
from tests.standin import REQUEST, Ledger, StandIn, server


async def test_everything_works() -> None:
    """Each read-out is tried and reported; the whole turns into JSON."""
    scorer = server(StandIn())
    found = await scorer.survey(REQUEST, Ledger())
    assert [(a.readout, a.works) for a in found.attempts] == [
        ("token-ids", True),
        ("logprobs", True),
        ("chat", True),
        ("text", True),
        ("text", True),
    ]
    assert found.best == "token-ids"
    assert (found.models, found.max_model_len) == (("m",), 99)
    assert [(word.word, word.pieces, word.single) for word in found.labels] == [
        (" Yes", (" Yes",), True),
        (" No", (" No",), True),
    ]
    first = found.attempts[0]
    assert (first.lists, first.temperature_ignored) == (True, True)
    assert first.mass == pytest.approx(0.9)
    assert json.loads(json.dumps(asdict(found)))["quotas"][0]["limit"] == 60


async def test_nothing_works() -> None:
    """What does not work is reported, not raised, label words that cannot be read included."""
    split = {" great": [" gr", "eat"], " greater": [" gr", "eater"]}
    standin = StandIn(
        split=split,
        logprobs=False,
        says=lambda text: "Perhaps.",
        fails={"/models": ProviderRefused("403")},
    )
    found = await server(standin).survey(Request(REQUEST.texts, tuple(split)), Ledger())
    assert not any(attempt.works for attempt in found.attempts)
    assert all(attempt.detail for attempt in found.attempts)
    assert "share their first token" in found.trouble
    assert (found.models, found.max_model_len, found.best) == ((), None, None)
    assert found.labels[0].single is None


async def test_lists_are_tried_once() -> None:
    """A server that breaks on lists is not broken again by the next read-out."""
    standin = StandIn(lists="500", ids=False, tokenizes="no")
    ledger = Ledger()
    found = await server(standin).survey(REQUEST, ledger)
    assert ledger.sent.count((2, "ServerFault")) == 1
    assert next(attempt.lists for attempt in found.attempts if attempt.works) is False


async def test_scaling_is_seen() -> None:
    """The report says when log-probabilities follow the temperature."""
    found = await server(StandIn(scales=True)).survey(REQUEST, Ledger())
    assert found.attempts[0].temperature_ignored is False


async def test_a_bad_key_is_no_report() -> None:
    """A server that refuses as such is not surveyed."""
    with pytest.raises(ProviderRefused):
        await server(StandIn(fails={"/completions": ProviderRefused("401")})).survey(
            REQUEST, Ledger()
        )
