"""The trunk of BERT's and RoBERTa's kind on a processor: rows laid end to end, nothing padded.

    ids of all rows --embeddings--> (tokens, width) --layers--> (rows, width), at the masks

The linear layers see one tall matrix; attention sees rows of one length together, so no mask is
needed; in the last layer only the mask asks, since nobody reads the other positions. What is left
out would not have been read: apart from rounding the numbers are the model's own. A prompt that
rows share is worked out for each of them: attention looks both ways, so that behind the first
layer its states depend on the text after it.

torch is imported inside the functions. Knows no head and no tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from bdpl_providers.assembly import Row

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    Product = Callable[[Tensor], Tensor]

__all__ = ["Packed", "multiplies_bf16"]

FAMILIES = frozenset({"bert", "camembert", "roberta", "xlm-roberta"})
"""Model types whose layers are those below; a name is needed, since Longformer's look alike."""

TOKENS = 1024
"""Tokens of one pass: fewer read the weights too often, more leave the processor's caches."""

STEP = 32
"""Tokens of a pass are a multiple in bfloat16: every new height of a matrix costs 5 ms of code."""

Part = TypeVar("Part", bound="torch.nn.Module")


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbours of one length: tokens `first` to `last`, and where each row has its mask."""

    first: int
    last: int
    masks: list[int]

    @property
    def places(self) -> list[int]:
        """The masks among all tokens."""
        length = (self.last - self.first) // len(self.masks)
        return [self.first + index * length + mask for index, mask in enumerate(self.masks)]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what it multiplies by, in order, and its two normalizations."""

    ask: Product  # width -> queries, keys and values, side by side
    merge: Product
    settle: torch.nn.LayerNorm
    widen: Product  # with the activation
    narrow: Product
    finish: torch.nn.LayerNorm

    def after(self, mixed: Tensor, before: Tensor) -> Tensor:
        """(n, width), from what attention mixed and what stood there before."""
        state: Tensor = self.settle(self.merge(mixed).add_(before))
        found: Tensor = self.finish(self.narrow(self.widen(state)).add_(state))
        return found


class Packed:
    """The trunk of `model`, for its hidden states at the masks.

    Shares the model's weights, but for bfloat16, where it keeps the layers a second time in the
    matrix unit's order. Whoever takes it compares it with the model's own answers first.

    Args:
        model: in evaluation mode, on the processor.

    Raises:
        TypeError: a model of another kind.
        AttributeError: one of that name, built differently.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        import torch

        trunk, config = model.base_model, model.config
        if config.model_type not in FAMILIES or config.is_decoder or model.device.type != "cpu":
            raise TypeError(f"a trunk of type {config.model_type} on {model.device.type}")
        self._step = STEP if model.dtype == torch.bfloat16 else 1
        self._heads = int(config.num_attention_heads)
        self._embeddings = trunk.get_submodule("embeddings")
        padding = getattr(
            trunk.get_submodule("embeddings.position_embeddings"), "padding_idx", None
        )
        self._offset = 0 if padding is None else int(padding) + 1
        fused = config.hidden_act == "gelu"
        count = int(config.num_hidden_layers)
        self._layers = [
            _layer(trunk.get_submodule(f"encoder.layer.{i}"), fused) for i in range(count)
        ]

    def hidden(self, rows: Sequence[Row]) -> Tensor:
        """(rows, width) hidden states at the masks; rows in order of length go fastest."""
        import torch

        passes = [self._pass(portion) for portion in _portions(rows)]
        mixed, before = (torch.cat(parts) for parts in zip(*passes, strict=True))
        return self._layers[-1].after(mixed, before)

    def _pass(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """What the last layer's attention gives each mask, and what stood there before."""
        import torch

        spans = list(_spans(rows))
        ids = [token for row in rows for token in row.ids]
        places = [self._offset + place for row in rows for place in range(len(row.ids))]
        more = -len(ids) % self._step  # read by nobody
        state: Tensor = self._embeddings(
            input_ids=torch.tensor([ids + ids[:1] * more]),
            position_ids=torch.tensor([places + places[:1] * more]),
        )[0]
        for layer in self._layers[:-1]:
            state = layer.after(self._everywhere(layer.ask(state), spans), state)
        masks = torch.tensor([place for span in spans for place in span.places])
        return self._at_masks(self._layers[-1].ask(state), spans), state[masks]

    def _everywhere(self, asked: Tensor, spans: Sequence[Span]) -> Tensor:
        """(tokens, width): what each token takes from all of its row."""
        import torch

        mixed = asked.new_empty(len(asked), asked.shape[1] // 3)
        mixed[spans[-1].last :] = 0
        for span in spans:
            query, key, value = self._split(asked, span)
            found = torch.nn.functional.scaled_dot_product_attention(query, key, value)
            part = mixed[span.first : span.last]
            part.view(len(query), -1, *found.shape[1::2]).copy_(found.transpose(1, 2))
        return mixed

    def _at_masks(self, asked: Tensor, spans: Sequence[Span]) -> Tensor:
        """(rows, width): what each mask takes from all of its row."""
        import torch

        found = []
        for span in spans:
            query, key, value = self._split(asked, span)
            alone = query[torch.arange(len(query)), :, torch.tensor(span.masks)][:, :, None]
            taken = torch.nn.functional.scaled_dot_product_attention(alone, key, value)
            found.append(taken.flatten(1))
        return torch.cat(found)

    def _split(self, asked: Tensor, span: Span) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (rows, heads, length, width of a head)."""
        part = asked[span.first : span.last].view(
            len(span.masks), -1, 3, self._heads, asked.shape[1] // 3 // self._heads
        )
        query, key, value = part.permute(2, 0, 3, 1, 4)
        return query, key, value


def multiplies_bf16() -> bool:
    """Whether this processor has a matrix unit for bfloat16."""
    import torch

    # Absent from older releases of torch, which then stay exact.
    features: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(features.get("amx_bf16", False))


def _portions(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Runs of neighbours of at most `TOKENS` tokens together, or one row."""
    first = tokens = 0
    for index, row in enumerate(rows):
        if index > first and tokens + len(row.ids) > TOKENS:
            yield rows[first:index]
            first, tokens = index, 0
        tokens += len(row.ids)
    yield rows[first:]


def _spans(rows: Sequence[Row]) -> Iterator[Span]:
    """Neighbours of one length, taken together."""
    last = 0
    for length, group in groupby(rows, key=lambda row: len(row.ids)):
        masks = [row.mask for row in group]
        first, last = last, last + length * len(masks)
        yield Span(first, last, masks)


def _layer(layer: torch.nn.Module, fused: bool) -> Layer:
    from torch.nn import LayerNorm, Linear

    def linear(path: str) -> Product:
        part = _part(layer, path, Linear)
        return _product(part.weight, part.bias)

    return Layer(
        _asking([_part(layer, f"attention.self.{n}", Linear) for n in ("query", "key", "value")]),
        linear("attention.output.dense"),
        _part(layer, "attention.output.LayerNorm", LayerNorm),
        _widening(layer, fused),
        linear("output.dense"),
        _part(layer, "output.LayerNorm", LayerNorm),
    )


def _part(layer: torch.nn.Module, path: str, kind: type[Part]) -> Part:
    part = layer.get_submodule(path)
    if not isinstance(part, kind):
        raise TypeError(f"{path} is a {type(part).__name__}")
    return part


def _asking(parts: Sequence[torch.nn.Linear]) -> Product:
    """The three products as one, whose weights the three then are views of."""
    import torch

    with torch.no_grad():
        weight = torch.cat([part.weight for part in parts])
        bias = torch.cat([part.bias for part in parts])
        for part, mine in zip(parts, weight.chunk(len(parts)), strict=True):
            part.weight = torch.nn.Parameter(mine, requires_grad=False)
    return _product(weight, bias)


def _widening(layer: torch.nn.Module, fused: bool) -> Product:
    import torch

    part = _part(layer, "intermediate.dense", torch.nn.Linear)
    if fused and _packable(part.weight):
        return _product(part.weight, part.bias, "gelu")
    product, bend = _product(part.weight, part.bias), layer.get_submodule("intermediate")
    activation: Product = bend.get_submodule("intermediate_act_fn")
    return lambda state: activation(product(state))


def _packable(weight: Tensor) -> bool:
    import torch

    ours = hasattr(torch.ops.mkldnn, "_reorder_linear_weight")  # torch.compile's; may go one day
    return ours and weight.dtype == torch.bfloat16 and multiplies_bf16()


def _product(weight: Tensor, bias: Tensor, bend: str = "none") -> Product:
    """x -> x W^T + b; in bfloat16 the weights are laid out once for the matrix unit, not each time.

    One part in seven of the whole time on a base model, more with few tokens a pass.
    """
    import torch

    if not _packable(weight):
        return lambda state: torch.nn.functional.linear(state, weight, bias)
    with torch.no_grad():
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), TOKENS)
    multiply, exact = torch.ops.mkldnn._linear_pointwise, "none" if bend == "gelu" else ""
    return lambda state: multiply(state, packed, bias, bend, [], exact)
