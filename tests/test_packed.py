"""The trunk without padding, against the model's own; models are made here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_providers.assembly import Row
from bdpl_providers.maskedlm import MaskedLM
from bdpl_providers.packed import (
    STEP,
    TOKENS,
    Packed,
    _packable,
    _portions,
    _product,
    multiplies_bf16,
)
from tests.tinymodels import KINDS, save_all

if TYPE_CHECKING:
    import torch
    import transformers
else:  # an install without the extra still runs every other test
    torch = pytest.importorskip("torch", reason="the extra 'local' is not installed")
    transformers = pytest.importorskip("transformers", reason="the extra 'local' is not installed")

LENGTHS = (9, 4, 9, 9, 17, 1, 17, 4)
ROWS = [
    Row([5 + (7 * row + 3 * place) % 90 for place in range(length)], (5 * row) % length)
    for row, length in enumerate(LENGTHS)
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny saved model per architecture."""
    root = tmp_path_factory.mktemp("models")
    save_all(root)
    return root


def loaded(folder: Path) -> transformers.PreTrainedModel:
    """A saved model, in float32 and in evaluation mode."""
    model: transformers.PreTrainedModel = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, use_safetensors=True
    )
    return model


@torch.inference_mode()
def own(model: transformers.PreTrainedModel, rows: list[Row]) -> torch.Tensor:
    """(rows, width) hidden states of the model itself at the masks, one row at a time."""
    found = [model.base_model(torch.tensor([row.ids]))[0][0, row.mask] for row in rows]
    return torch.stack(found)


@pytest.mark.parametrize("folder", ["bert", "roberta"])
class TestTrunk:
    def test_equals_the_models_own(self, shelf: Path, folder: str) -> None:
        """Rows of any lengths in any order get the hidden states that the model itself gives."""
        model = loaded(shelf / folder)
        wanted = own(model, ROWS)
        with torch.inference_mode():
            found = Packed(model).hidden(ROWS)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)

    def test_several_passes_are_one_answer(
        self, shelf: Path, folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rows that do not fit into one pass get the same, in their order."""
        model = loaded(shelf / folder)
        wanted = own(model, ROWS)
        monkeypatch.setattr("bdpl_providers.packed.TOKENS", 12)
        with torch.inference_mode():
            found = Packed(model).hidden(ROWS)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)

    def test_last_layer_ends_at_the_masks(self, shelf: Path, folder: str) -> None:
        """Behind the last attention only the masks are computed, all others at every token."""
        model, seen = loaded(shelf / folder), []
        packed = Packed(model)
        for layer in (0, 1):
            norm = model.base_model.get_submodule(f"encoder.layer.{layer}.output.LayerNorm")
            norm.register_forward_hook(lambda _m, args, _o: seen.append(len(args[0])))
        with torch.inference_mode():
            packed.hidden(ROWS)
        assert seen == [sum(LENGTHS), len(LENGTHS)]

    def test_bfloat16_fills_up_to_whole_steps(self, shelf: Path, folder: str) -> None:
        """In bfloat16 a pass is filled up, and the filling changes no row's answer."""
        model, seen = loaded(shelf / folder).bfloat16(), []
        packed = Packed(model)
        norm = model.base_model.get_submodule("encoder.layer.0.output.LayerNorm")
        norm.register_forward_hook(lambda _m, args, _o: seen.append(len(args[0])))
        with torch.inference_mode():
            found = packed.hidden(ROWS)
        assert seen == [-(-sum(LENGTHS) // STEP) * STEP]
        torch.testing.assert_close(found, own(model, ROWS), rtol=0.05, atol=0.1)

    def test_weights_are_held_once(self, shelf: Path, folder: str) -> None:
        """The three products of attention become one without a second copy of the weights."""
        model = loaded(shelf / folder)
        Packed(model)
        attention = model.base_model.get_submodule("encoder.layer.0.attention.self")
        names = ("query.weight", "key.weight", "value.weight")
        places = {attention.get_parameter(name).untyped_storage().data_ptr() for name in names}
        assert len(places) == 1


class TestRefusals:
    @pytest.mark.parametrize("folder", sorted(set(KINDS) - {"bert", "roberta"}))
    def test_other_families_go_another_way(self, shelf: Path, folder: str) -> None:
        """A trunk of another kind is refused, and runs as its own code has it."""
        model = loaded(shelf / folder)
        with pytest.raises(TypeError, match=r"a trunk of type|is a"):
            Packed(model)
        worker = MaskedLM(model, pad=1)
        assert (worker.packed, worker.short) == (False, True)

    def test_a_name_is_not_enough(self, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A trunk that computes something else than the model is noticed and left alone."""
        hidden = Packed.hidden
        assert MaskedLM(loaded(shelf / "roberta"), pad=1).packed
        monkeypatch.setattr(Packed, "hidden", lambda self, rows: hidden(self, rows) + 0.1)
        worker = MaskedLM(loaded(shelf / "roberta"), pad=1)
        assert (worker.packed, worker.short) == (False, True)

    def test_the_model_stays_whole(self, shelf: Path) -> None:
        """After an answer the model's own forward pass is what it was."""
        model = loaded(shelf / "roberta")
        wanted = own(model, ROWS)
        worker = MaskedLM(model, pad=1)
        assert all(worker.logprobs(ROWS, [(7, 8)] * len(ROWS)))
        torch.testing.assert_close(own(model, ROWS), wanted, rtol=0, atol=1e-6)


@given(st.lists(st.integers(1, 3 * TOKENS // 2), min_size=1, max_size=12))
def test_portions_are_small_and_whole(lengths: list[int]) -> None:
    """Passes hold all rows in order, each at most so many tokens or one row, none needlessly."""
    rows = [Row([0] * length, 0) for length in lengths]
    portions = list(_portions(rows))
    assert [row for portion in portions for row in portion] == rows
    sizes = [sum(len(row.ids) for row in portion) for portion in portions]
    for portion, size in zip(portions, sizes, strict=True):
        assert portion
        assert size <= TOKENS or len(portion) == 1
    for size, after in zip(sizes, portions[1:], strict=False):
        assert size + len(after[0].ids) > TOKENS


@pytest.mark.parametrize("bend", ["none", "gelu"])
def test_laid_out_weights_multiply_alike(bend: str) -> None:
    """bfloat16 weights in the matrix unit's order give what a plain linear layer gives."""
    torch.manual_seed(0)
    weight, bias = torch.randn(48, 32).bfloat16() / 6, torch.randn(48).bfloat16()
    if not _packable(weight):
        pytest.skip(f"no matrix unit for bfloat16 here: {multiplies_bf16()=}")
    state = torch.randn(70, 32).bfloat16()
    wanted = torch.nn.functional.linear(state.float(), weight.float(), bias.float())
    wanted = torch.nn.functional.gelu(wanted) if bend == "gelu" else wanted
    with torch.inference_mode():
        found = _product(weight, bias, bend)(state)
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)
