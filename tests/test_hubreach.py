"""The rules of `bdpl_providers.hubreach`."""

from __future__ import annotations

import pytest

from bdpl_providers.hubreach import hub_answers

pytest.importorskip("huggingface_hub", reason="the extra 'local' is not installed")


@pytest.mark.parametrize(
    ("failure", "reached"), [(None, True), (ConnectionError("no route"), False)]
)
def test_one_look_decides(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None, reached: bool
) -> None:
    """An answer is an answer; without one the hub is out of reach, and it is asked once."""
    looks: list[str] = []

    def info(self: object, name: str, timeout: float) -> None:
        looks.append(name)
        if failure is not None:
            raise failure

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", info)
    assert hub_answers("somebody/model") is reached
    assert looks == ["somebody/model"]


def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown or a private model: the loader then says which of them it is."""
    from huggingface_hub.errors import HfHubHTTPError

    def info(self: object, name: str, timeout: float) -> None:
        raise HfHubHTTPError.__new__(HfHubHTTPError)

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", info)
    assert hub_answers("nobody/nothing")
