"""Calibration: what a prompt makes a model say whatever stands in the row, taken off its answers.

A prompt may make one label likely for any text at all. The offsets of a prompt are the logarithm of
the label distribution that it gets on average, over

    contextual   texts without content: every column is "N/A", "[MASK]" or empty, the three of Zhao
                 et al. (2021); they are asked together with the prompt's rows, and paid for
    batch        the prompt's own rows in the same ask (Zhou et al., 2024); free

and are taken off the label log-probabilities, which are then normalised anew. No label of any row
is ever looked at. In training the rows are those of the minibatch. The offsets that a run ends with
are of its final prompt and frozen: by its texts without content, or by the dev rows that it was
chosen on; no row of test has any part in them, and they are what `result.json` keeps.

This module knows no model and asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.losses import log_softmax
from bdpl_async.records import Example

__all__ = [
    "CONTENT_FREE",
    "Calibration",
    "Offsets",
    "calibrated",
    "kind_of",
    "offsets_of",
    "refuse_decided",
]

Floats = NDArray[np.float64]
Kind = Literal["none", "contextual", "batch"]

CONTENT_FREE: Final = ("N/A", "[MASK]", "")
"""What stands in every column of a text without content."""

LEAST: Final = 1e-4
"""Least mean probability of a label: one that a model never says is not lifted to the others."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Frozen offsets (nats), one per label, in the order of the label words."""

    kind: str
    offsets: tuple[float, ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Offsets:
        """What `result.json` keeps.

        Raises:
            KeyError, TypeError, ValueError: it is no such document.
        """
        offsets = tuple(map(float, document["offsets"]))
        if not np.isfinite(offsets).all():
            raise ValueError(f"offsets {offsets}")
        return cls(str(document["kind"]), offsets)

    def applied(self, logprobs: Floats) -> Floats:
        """(..., C) label log-probabilities less the offsets; a row of NaN stays one."""
        return calibrated(logprobs, np.array(self.offsets))


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the answers of one task are calibrated.

    Attributes:
        kind: `none` leaves them as they are, to the bit.
        extra: texts without content, to be asked with each prompt; none of them has a label that
            means anything.
    """

    kind: Kind
    extra: tuple[Example, ...] = ()

    @classmethod
    def of(cls, config: Config, columns: Sequence[str]) -> Calibration:
        """As the configuration says, for rows of these columns."""
        kind = kind_of(config)
        if kind != "contextual":
            return cls(kind)
        fills = [dict.fromkeys(columns, filler) for filler in CONTENT_FREE]
        return cls(kind, tuple(Example(fill, 0) for fill in fills))

    def offsets(self, rows: Floats, free: Floats) -> Floats | None:
        """(..., C) offsets of each prompt; None without calibration.

        Args:
            rows: (..., n, C) answers to its rows.
            free: (..., K, C) answers to `extra`.
        """
        if self.kind == "none":
            return None
        return offsets_of(free if self.kind == "contextual" else rows)

    def applied(self, answers: Floats) -> Floats:
        """(..., n, C) calibrated answers, from (..., n + K, C) answers to rows and `extra`."""
        count = answers.shape[-2] - len(self.extra)
        rows, free = answers[..., :count, :], answers[..., count:, :]
        offsets = self.offsets(rows, free)
        return rows if offsets is None else calibrated(rows, offsets[..., np.newaxis, :])

    def frozen(self, offsets: Floats | None) -> Offsets | None:
        """(C,) offsets of one prompt, to be kept."""
        return None if offsets is None else Offsets(self.kind, tuple(offsets.tolist()))


def kind_of(config: Config) -> Kind:
    """What ``optimizer.calibration`` says; the method `calibration` is `batch` unless it says."""
    kind = config.optimizer.calibration
    return "batch" if kind == "none" and config.optimizer.method == "calibration" else kind


def offsets_of(logprobs: Floats) -> Floats:
    """Log of the mean label distribution, (..., n, C) to (..., C), nats.

    Rows of NaN are left out; without any other row all labels are alike.
    """
    shares = np.exp(log_softmax(logprobs))
    answered = ~np.isnan(shares).any(axis=-1, keepdims=True)
    count = answered.sum(axis=-2)
    mean = np.where(answered, shares, 0.0).sum(axis=-2) / np.maximum(count, 1)
    floored: Floats = np.maximum(np.where(count == 0, 1 / shares.shape[-1], mean), LEAST)
    return np.asarray(np.log(floored))


def calibrated(logprobs: Floats, offsets: Floats) -> Floats:
    """Label log-probabilities less `offsets`, normalised among the labels; NaN stays NaN."""
    return log_softmax(log_softmax(logprobs) - offsets)


def refuse_decided(config: Config, name: str) -> None:
    """See to it that no calibration is asked of a model that says words and no probabilities.

    It would have nothing to take off, and a setting without an effect is never just ignored.

    Raises:
        ConfigError: naming the key that asks for it.
    """
    kind = kind_of(config)
    if kind == "none":
        return
    own = config.optimizer.calibration == "none"
    key = "optimizer.method = 'calibration'" if own else f"optimizer.calibration = {kind!r}"
    raise ConfigError(
        f"{key}: {name} is read by its text, which has no probabilities to calibrate",
        hint="leave it out, or read the model in another way (--readout)",
    )
