"""AdamW on float32 copies of bfloat16 weights.

The network itself runs in bfloat16 from end to end, which on a CPU with AMX spares the casts
that automatic mixed precision makes at every layer. Steps of 1e-4 of a weight would be lost in
eight bits of mantissa, so the optimiser keeps its own float32 copy of every weight.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


class MasterAdamW:
    """Optimise float32 masters, then hand rounded weights back to the network."""

    def __init__(self, weights: Iterable[nn.Parameter], peak: float, decay: float) -> None:
        """Copy ``weights`` to float32."""
        self._weights = list(weights)
        self._masters = [nn.Parameter(weight.detach().float()) for weight in self._weights]
        self._slopes = [torch.zeros_like(master) for master in self._masters]
        for master, slope in zip(self._masters, self._slopes, strict=True):
            master.grad = slope
        self._adam = torch.optim.AdamW(
            self._masters, lr=peak, betas=(0.9, 0.98), weight_decay=decay, fused=True
        )

    @torch.no_grad()
    def step(self, rate: float, clip: float = 1.0) -> None:
        """One update at learning rate ``rate`` from the gradients on the network's weights."""
        for weight, slope in zip(self._weights, self._slopes, strict=True):
            if weight.grad is None:
                slope.zero_()
            else:
                slope.copy_(weight.grad)
            weight.grad = None
        nn.utils.clip_grad_norm_(self._masters, clip)
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()
        self._write(self._weights)

    def publish(self, network: nn.Module) -> None:
        """Write the masters into a float32 twin of the network, unrounded."""
        self._write(network.parameters())

    @torch.no_grad()
    def _write(self, weights: Iterable[nn.Parameter]) -> None:
        for weight, master in zip(weights, self._masters, strict=True):
            weight.copy_(master)
