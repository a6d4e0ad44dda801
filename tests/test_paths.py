"""The rules of `bdpl_providers.paths`: what is not there is not asked for again."""

from __future__ import annotations

import pytest

from bdpl_async.errors import ProviderRefused, RequestFailed
from bdpl_providers.adapter import Relearned
from bdpl_providers.paths import Paths, address_hint
from tests.standin import StandIn

GONE = RequestFailed("vllm/m: POST /x brought 404: Not Found", hint="look", fate="refused")
BODY = {"prompt": "x", "temperature": 0}


def paths(standin: StandIn) -> Paths:
    return Paths("vllm/m", "http://here:8000", standin)


async def test_a_path_that_is_not_there_is_known() -> None:
    """A second request for it fails before it is counted, with the same words."""
    found = paths(StandIn(fails={"/completions": GONE}))
    found.check("/completions")
    with pytest.raises(RequestFailed):
        await found.post("/completions", BODY)
    with pytest.raises(RequestFailed, match="brought 404: Not Found") as caught:
        found.check("/completions")
    assert (caught.value.fate, caught.value.hint) == ("unsent", "look")
    found.check("/chat/completions")


async def test_two_paths_that_are_not_there_are_a_wrong_address() -> None:
    """Neither completions nor chats: the provider's refusal, with what to do about the URL."""
    found = paths(StandIn(fails={"/completions": GONE, "/chat/completions": GONE}))
    with pytest.raises(RequestFailed):
        await found.post("/completions", BODY)
    with pytest.raises(ProviderRefused, match="both brought 404") as caught:
        await found.post("/chat/completions", BODY)
    assert "did you forget /v1? Try --base-url http://here:8000/v1" in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RequestFailed("m: POST /x brought 400: Not Found"),
        RequestFailed("m: POST /x brought 404: the model shows no such thing here"),
        RequestFailed("m: POST /x brought 404: logprobs are not supported"),
        Relearned("m: POST /x brought 404: use another field"),
    ],
)
async def test_what_another_body_may_pass_is_not_missing(error: RequestFailed) -> None:
    """A 404 about what was asked, or another status, says nothing of the path."""
    found = paths(StandIn(fails={"/completions": error, "/chat/completions": error}))
    for path in ("/completions", "/chat/completions"):
        with pytest.raises(RequestFailed) as caught:
            await found.post(path, BODY)
        assert caught.value is error
        found.check(path)


async def test_the_root_is_another_place() -> None:
    """A path beside /v1 that is missing says nothing of those below it."""
    found = paths(StandIn(fails={"/tokenize": GONE}))
    with pytest.raises(RequestFailed):
        await found.post("/tokenize", BODY, root=True)
    found.check("/tokenize")


@pytest.mark.parametrize(
    ("url", "forgotten"),
    [
        ("http://here:8000", True),
        ("http://here:8000/api", True),
        ("http://v1.here", True),
        ("http://here:8000/v1", False),
        ("https://here/v1beta", False),
        ("http://here:8000/v1/completions", False),
    ],
)
def test_a_version_that_is_forgotten(url: str, forgotten: bool) -> None:
    """Only a URL without a version is asked about it; else what it should be is said."""
    assert address_hint(url).startswith("did you forget /v1?") is forgotten
