"""The forward pass at the mask, on models that misbehave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from bdpl_providers.assembly import Row
from bdpl_providers.maskedlm import MaskedLM
from tests.tinymodels import KINDS, save_all

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


class TestPadding:
    @pytest.mark.parametrize("short", [True, False])
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_neighbours_do_not_change_the_answer(
        self, short: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A model that reads the padding is given none: each text scores as it does alone."""
        torch.manual_seed(0)
        config = transformers.ConvBertConfig(
            vocab_size=40, embedding_size=16, hidden_size=32, num_hidden_layers=2,
            num_attention_heads=2, intermediate_size=48, initializer_range=0.3,
        )  # fmt: skip
        model = transformers.ConvBertForMaskedLM(config).to(getattr(torch, dtype))
        model.train(False)
        if not short:
            monkeypatch.setattr(MaskedLM, "_short", lambda self, rows: torch.zeros(len(rows), 40))
        worker = MaskedLM(model, pad=0)
        assert (worker.short, worker.pads) == (short, False)
        assert worker.fine == (short and dtype == "bfloat16")
        rows = [Row([5, 9, 7], 1), Row([5, 9, 7, 8, 8, 8, 8, 8], 1), Row([6, 9, 7], 2)]
        alone = [worker.logprobs([row], [(8, 30)])[0] for row in rows]
        together = worker.logprobs(rows, [(8, 30)] * 3)
        for found, wanted in zip(together, alone, strict=True):
            assert found == pytest.approx(wanted, abs=1e-5 if dtype == "float32" else 0.05)

    def test_others_are_padded(self, tmp_path: Path) -> None:
        """A model that overlooks the padding gets texts of all lengths in one forward pass."""
        save_all(tmp_path)
        for folder in KINDS:
            model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / folder)
            assert MaskedLM(model, pad=1 if folder == "roberta" else 0).pads, folder


class TestNarrow:
    # DeBERTa's head multiplies by the embeddings without a layer, so it has no end to listen at.
    @pytest.mark.parametrize("folder", sorted(set(KINDS) - {"deberta"}))
    def test_label_words_are_not_rounded(self, tmp_path: Path, folder: str) -> None:
        """In bfloat16 the label words' logits are float32 products of what the head's end gets."""
        save_all(tmp_path)
        model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / folder).bfloat16()
        worker, heard = MaskedLM(model, pad=1), []
        decoder = model.get_output_embeddings()
        handle = decoder.register_forward_hook(lambda _m, args, _o: heard.append(args[0]))
        (found,) = worker.logprobs([Row([5, 9, 7], 1)], [(8, 30)])
        handle.remove()
        logits = heard[0].detach().reshape(-1).double() @ decoder.weight.detach().double().T
        if decoder.bias is not None:
            logits += decoder.bias.detach().double()
        assert worker.fine
        assert found is not None
        # The normalizer, common to both words, is summed over rounded logits.
        assert found[0] - found[1] == pytest.approx(float(logits[8] - logits[30]), abs=1e-4)

    def test_other_ends_stay_as_they_are(self, tmp_path: Path) -> None:
        """A head that does more behind its last layer keeps its own logits; float32 always does."""
        save_all(tmp_path)
        model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "roberta")
        assert not MaskedLM(model, pad=1).fine
        end = model.get_output_embeddings()
        end.register_forward_hook(lambda _m, _args, out: out * 0.5)
        worker = MaskedLM(model.bfloat16(), pad=1)
        assert (worker.short, worker.fine) == (True, False)
