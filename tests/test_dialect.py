"""The rules of `bdpl_providers.dialect`: what is known of a server before anything is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bdpl_providers import Connection, compatible, openai, vllm
from bdpl_providers.candidates import chat, text, token_ids, top_k
from bdpl_providers.dialect import PROBES, Dialect
from bdpl_providers.openai import OpenAI
from bdpl_providers.server import Server

Connect = Callable[[Connection], Server | OpenAI]
CONNECTS: list[Connect] = [
    vllm.from_connection,
    compatible.from_connection,
    openai.from_connection,
]


@pytest.mark.parametrize("connect", CONNECTS, ids=["vllm", "compatible", "openai"])
def test_who_names_a_read_out_insists(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` tries one after the other; a read-out by name is that one, in all its forms."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")

    def insists(readout: str) -> bool:
        told = Connection("m", base_url="http://here/v1", readout=readout)
        return connect(told).dialect.insists

    assert not insists("auto")
    for readout in ("chat", "text"):
        assert insists(readout)


def test_the_only_read_out_there_is_needs_no_insisting() -> None:
    """Where a server has no other, nobody can be told to take another."""
    assert not Dialect("vllm", "m", "http://here/v1", (token_ids("m"),)).insists
    two = Dialect("vllm", "m", "http://here/v1", (token_ids("m"), top_k("m")), (chat("m"),))
    assert not two.insists


def test_what_is_expected_before_the_probe() -> None:
    """The first candidate's manners: lists or one text, and as many tokens as it writes."""
    ids = Dialect("vllm", "a/b", "http://here/v1", (token_ids("m", batch=8), chat("m")))
    assert ids.name == "vllm/a/b"
    expected = ids.expected()
    assert (expected.readout, expected.completion, expected.probes) == ("token-ids", 1, PROBES)
    assert expected.batch == 8
    assert (expected.causal, expected.timed, expected.exact) == (True, True, False)
    wide = Dialect("vllm", "m", "http://here/v1", (token_ids("m"),), batch_prompts=5).expected()
    assert wide.batch == 5
    talk = Dialect("vllm", "m", "http://here/v1", (chat("m"),), batch_prompts=5).expected()
    assert (talk.readout, talk.batch) == ("chat", 1)
    words = Dialect("vllm", "m", "http://here/v1", text("m")).expected()
    assert (words.readout, words.completion > 1) == ("text", True)
