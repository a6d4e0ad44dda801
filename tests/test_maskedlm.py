"""The forward pass at the mask, on models that misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from bdpl_providers.assembly import Row
from bdpl_providers.maskedlm import MaskedLM

if TYPE_CHECKING:
    import torch
    import transformers
else:  # an install without the extra still runs every other test
    torch = pytest.importorskip("torch", reason="the extra 'local' is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra 'local' is not installed")


class Whole(torch.nn.Module):
    """A model without a trunk: what it gives can only be computed in full."""

    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device("cpu")
        self.base_model = torch.nn.Identity()
        self.table = torch.nn.Embedding(16, 16)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        place = torch.arange(input_ids.shape[1])[:, None] * 0.1
        logits = self.table(input_ids) + place
        return transformers.modeling_outputs.MaskedLMOutput(logits=logits)


def whole() -> MaskedLM:
    """The worker's view of such a model; it duck-types the few members that are used."""
    return MaskedLM(cast("transformers.PreTrainedModel", Whole()), pad=0)


class TestModel:
    def test_disagreeing_architecture_runs_in_full(self) -> None:
        """Where the short way is not the model's own, the full forward pass answers."""
        model = whole()
        assert not model.short
        (found,) = model.logprobs([Row([3, 4, 5], 1)], [(7, 8)])
        wanted = model._model.get_parameter("table.weight")[4].log_softmax(-1)[[7, 8]].tolist()
        assert found == pytest.approx(wanted, abs=1e-5)

    def test_out_of_memory_halves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A batch beyond the accelerator's memory is halved; a row beyond it alone is None."""
        model, weigh, sizes = whole(), MaskedLM._weigh, []

        def scarce(self: MaskedLM, rows: list[Row], labels: list[tuple[int, ...]]) -> object:
            sizes.append(len(rows))
            if len(rows) > 2 or rows[-1].ids[0] == 9:
                raise torch.OutOfMemoryError
            return weigh(self, rows, labels)

        rows = [Row([3, 4], 1), Row([5, 4], 1), Row([6, 4], 1), Row([9, 4], 1)]
        wanted = model.logprobs(rows, [(1, 2)] * 4)
        monkeypatch.setattr(MaskedLM, "_weigh", scarce)
        assert model.logprobs(rows, [(1, 2)] * 4) == [*wanted[:3], None]
        assert sizes == [4, 2, 2, 1, 1]
