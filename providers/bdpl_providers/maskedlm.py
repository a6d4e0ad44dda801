"""A masked language model that is asked for one position of each text: its forward pass.

torch and transformers are imported inside the functions, so that importing this module is cheap.
Everything here belongs on the one thread that owns the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from bdpl_providers.assembly import Row
from bdpl_providers.packed import Packed

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    Way = Callable[[Sequence[Row]], torch.Tensor]

__all__ = ["MaskedLM"]

AGREEMENT = 1e-3
"""Largest difference in logits between another way to the mask and the model's own, float32."""

SAMPLE = 16
"""Words by which the label words' own logits are checked; a model with fewer goes without."""


class MaskedLM:
    """A model whose vocabulary head sees one position a text.

    There are three ways to its logits at the mask. BERT and RoBERTa on a processor go without
    padding, see `Packed`. Elsewhere the model's own forward pass runs, but a hook on its trunk
    hands on the mask's hidden state alone, so this holds for every architecture with a trunk and
    a head. Each is checked once against the full logits; a model that disagrees with both is
    computed in full, correct and slower.

    FNet, ConvBERT and others read what fills short rows, mask or not. A check finds them; they
    get rows of one length at a time, so that no text's score hangs on the texts beside it.

    In a narrow dtype the largest error of a score would come last: a logit of 8 is rounded to
    1/16 in bfloat16. So the label words' own logits, a handful, are computed in float32 from what
    the head's last layer is given, where a check finds that this is what the model means.

    Args:
        model: any ``AutoModelForMaskedLM``, in evaluation mode, as transformers loads it.
        pad: the id that fills short rows; what it says is masked out.

    Attributes:
        short: whether the head sees the masks only.
        packed: whether the trunk sees no padding either.
        pads: whether rows of several lengths may run together.
        fine: whether the label words' logits are computed in float32 in a model that is not.
    """

    def __init__(self, model: PreTrainedModel, pad: int) -> None:
        self._model = model
        self._pad = pad
        self._packed = _packed(model)
        full = self._sampled(_by_length(self._full))
        self.packed = self._packed is not None and self._agrees(self._unpadded, full)
        self.pads = self.packed or self._agrees(self._full, full)
        short = self._short if self.pads else _by_length(self._short)
        self.short = self.packed or self._agrees(short, full)
        self._decoder = _decoder(model) if self.short else None
        self.fine = self._decoder is not None and self._agrees(self._finely, full[:, :SAMPLE])

    def logprobs(
        self, rows: Sequence[Row], labels: Sequence[tuple[int, ...]]
    ) -> list[list[float] | None]:
        """(rows, labels) log-probabilities in nats under the softmax of the whole vocabulary.

        A batch that exceeds the accelerator's memory is halved until it fits; a row that exceeds
        it alone is None.
        """
        import torch

        try:
            return [*self._weigh(rows, labels)]
        except torch.OutOfMemoryError:
            half = len(rows) // 2
        # Outside the handler, or its traceback would keep the batch's tensors alive.
        if not half:
            return [None]
        return self.logprobs(rows[:half], labels[:half]) + self.logprobs(rows[half:], labels[half:])

    def _weigh(self, rows: Sequence[Row], labels: Sequence[tuple[int, ...]]) -> list[list[float]]:
        import torch

        with torch.inference_mode():
            wanted = torch.tensor(labels, device=self._model.device)
            if self.fine:
                chosen, logits = self._at_labels(rows, wanted)
                logprobs = chosen - logits.logsumexp(-1, keepdim=True)
            else:
                logprobs = self._logits(rows).float().log_softmax(-1).gather(1, wanted)
            found: list[list[float]] = logprobs.tolist()
        return found

    def _at_labels(
        self, rows: Sequence[Row], wanted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows, labels) logits of the wanted words, and (rows, vocabulary), rounded more."""
        import torch

        if self._decoder is None:
            raise TypeError("this model has no last layer that is a matrix")
        given: list[torch.Tensor] = []
        handle = self._decoder.register_forward_hook(lambda _m, args, _o: given.append(args[0]))
        try:
            logits = self._logits(rows).float()
        finally:
            handle.remove()
        state = torch.cat(given).reshape(len(rows), -1, 1).float()
        chosen = torch.bmm(self._decoder.weight[wanted].float(), state).squeeze(-1)
        if self._decoder.bias is not None:
            chosen += self._decoder.bias[wanted].float()
        return chosen, logits

    def _finely(self, rows: Sequence[Row]) -> torch.Tensor:
        """(rows, `SAMPLE`) logits of the first words, as if they were label words."""
        import torch

        words = torch.arange(SAMPLE, device=self._model.device)
        return self._at_labels(rows, words.repeat(len(rows), 1))[0]

    def _logits(self, rows: Sequence[Row]) -> torch.Tensor:
        if self.packed:
            return self._unpadded(rows)
        way = self._short if self.short else self._full
        return way(rows) if self.pads else _by_length(way)(rows)

    def _unpadded(self, rows: Sequence[Row]) -> torch.Tensor:
        """(rows, vocabulary) logits, nothing computed for padding; the head sees all rows at once.

        The head's product reads the whole vocabulary's weights, so it runs once a batch.
        """
        if self._packed is None:
            raise TypeError("this model has no way without padding")
        with _instead(self._model.base_model, self._packed.hidden(rows)[:, None]):
            logits: torch.Tensor = self._model().logits
        return logits.squeeze(1)

    def _short(self, rows: Sequence[Row]) -> torch.Tensor:
        """(rows, vocabulary) logits, the head applied at the masks only."""
        positions = self._positions(rows)
        with _only(self._model.base_model, positions):
            logits: torch.Tensor = self._model(**self._inputs(rows)).logits
        return logits.squeeze(1)

    def _full(self, rows: Sequence[Row]) -> torch.Tensor:
        """(rows, vocabulary) logits, the head applied everywhere."""
        positions = self._positions(rows)
        logits: torch.Tensor = self._model(**self._inputs(rows)).logits
        return _pick(logits, positions)

    def _inputs(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        import torch

        width = max(len(row.ids) for row in rows)
        short = [width - len(row.ids) for row in rows]
        ids = [row.ids + [self._pad] * n for row, n in zip(rows, short, strict=True)]
        mask = [[1] * (width - n) + [0] * n for n in short]
        device = self._model.device
        return {
            "input_ids": torch.tensor(ids, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }

    def _positions(self, rows: Sequence[Row]) -> torch.Tensor:
        import torch

        return torch.tensor([row.mask for row in rows], device=self._model.device)

    def _sampled(self, way: Way) -> torch.Tensor:
        """The logits that `way` gives for three rows, two of them of one length."""
        import torch

        # RoBERTa counts no position for the pad's id, which no text of ours contains.
        one, two, three = [token for token in range(4) if token != self._pad][:3]
        rows = [[one, two, three], [one, two, three, two, one], [two, one, one, three, two]]
        with torch.inference_mode():
            return way([Row(ids, mask) for ids, mask in zip(rows, (2, 1, 3), strict=True)])

    def _agrees(self, way: Way, full: torch.Tensor) -> bool:
        """Whether `way` gives the model's own logits, `full`."""
        import torch

        try:
            found = self._sampled(way)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError):
            return False  # a model that is built differently; the full way is right for it
        # Products of other shapes round apart by a few steps.
        rounding = 8 * torch.finfo(full.dtype).eps * float(full.abs().max())
        atol = max(AGREEMENT, rounding)
        same = found.shape == full.shape
        return same and torch.allclose(found.float(), full.float(), rtol=0, atol=atol)


def _by_length(way: Way) -> Way:
    """`way`, taken by neighbours of one length together."""

    def taken(rows: Sequence[Row]) -> torch.Tensor:
        import torch

        parts = [way([*part]) for _, part in groupby(rows, key=lambda row: len(row.ids))]
        return torch.cat(parts)

    return taken


def _packed(model: PreTrainedModel) -> Packed | None:
    try:
        return Packed(model)
    except (TypeError, AttributeError):
        return None  # another architecture, or another device


def _decoder(model: PreTrainedModel) -> torch.nn.Linear | None:
    """The head's last layer, if it is a matrix in a dtype narrower than float32."""
    from torch.nn import Linear

    part = getattr(model, "get_output_embeddings", lambda: None)()
    return part if isinstance(part, Linear) and part.weight.dtype.itemsize < 4 else None


def _pick(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """(rows, length, width) at one position per row: (rows, width)."""
    import torch

    return hidden[torch.arange(len(positions), device=hidden.device), positions]


@contextmanager
def _only(trunk: torch.nn.Module, positions: torch.Tensor) -> Iterator[None]:
    """Within it, `trunk` hands on nothing but the hidden states at `positions`."""
    from transformers.utils.generic import ModelOutput

    def keep(_module: object, _inputs: object, output: object) -> object:
        if isinstance(output, ModelOutput):
            output["last_hidden_state"] = _pick(output["last_hidden_state"], positions)[:, None]
            return output
        raise TypeError(f"a trunk that gives {type(output).__name__}")

    handle = trunk.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _instead(trunk: torch.nn.Module, hidden: torch.Tensor) -> Iterator[None]:
    """Within it, `trunk` computes nothing and hands on `hidden`, so that the head sees that."""
    from transformers.modeling_outputs import BaseModelOutput

    own = vars(trunk)
    own["forward"] = lambda *_args, **_kwargs: BaseModelOutput(last_hidden_state=hidden)
    try:
        yield
    finally:
        del own["forward"]
