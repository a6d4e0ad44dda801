"""The arms of the studies of query efficiency: what each lays over the defaults.

Keys are those of TASK.toml. ``variant`` names a search of `variants`, ``words`` a vocabulary that
`queries` makes; neither is part of the package.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["STUDIES", "Arm"]

Arm = Mapping[str, str | int | float]


def _paper(lr: float) -> Arm:
    """The paper's scripts on 16 shots: I = 20, every training row in every update."""
    return {"optimizer.method": "bdpl-paper", "optimizer.batch": 128, "optimizer.lr": lr}


PAPER = {f"bdpl-paper, lr {lr:g}": _paper(lr) for lr in (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)}
RATE = 3e-2  # the best of `PAPER`, tried on seeds of their own
GREEDY: Arm = {"optimizer.method": "greedy"}
RANDOM: Arm = {"optimizer.method": "random"}

LEVERS: Mapping[str, Arm] = {
    "defaults": {},
    "positions apart (share 0)": {"optimizer.share": 0.0},
    "share 1": {"optimizer.share": 1.0},
    "share 10": {"optimizer.share": 10.0},
    "batch 2": {"optimizer.batch": 2},
    "batch 8": {"optimizer.batch": 8},
    "batch 32": {"optimizer.batch": 32},
    "5 samples": {"optimizer.samples": 5},
    "10 samples": {"optimizer.samples": 10},
    "40 samples": {"optimizer.samples": 40},
    "entropy schedule": {"variant": "entropy"},
    "control variates": {"variant": "variate"},
    "finalists from on the way": {"variant": "trail"},
    "calibration batch": {"optimizer.calibration": "batch"},
    "calibration contextual": {"optimizer.calibration": "contextual"},
    "hinge": {"optimizer.loss": "hinge"},
    "1 finalist": {"optimizer.finalists": 1},
    "16 finalists": {"optimizer.finalists": 16},
    "start: manual prompt": {"words": "start"},
    "vocabulary with stop words": {"words": "frequent"},
    "vocabulary of 50": {"prompt.vocabulary_size": 50},
    "vocabulary pruned by this model": {"words": "pruned"},
    "vocabulary pruned by roberta/builtin": {"words": "pruned-builtin"},
}
KL = {f"KL cap x {times:g}": {"kl": times} for times in (0.25, 0.5, 2, 4)}

METHODS: Mapping[str, Arm] = {
    "bdpl": {},
    "bdpl-paper": _paper(RATE),
    "random": RANDOM,
    "greedy": GREEDY,
    "calibration, batch": {"optimizer.method": "calibration", "optimizer.calibration": "batch"},
    "calibration, contextual": {
        "optimizer.method": "calibration",
        "optimizer.calibration": "contextual",
    },
    "manual": {"optimizer.method": "manual"},
    "empty": {"optimizer.method": "empty"},
}

LAGS: Mapping[str, Arm] = {f"lag {lag}": {"optimizer.lag": lag} for lag in (0, 1, 2, 4, 8)}

STUDIES: Mapping[str, Mapping[str, Arm]] = {
    "lags": LAGS,
    "levers": {**LEVERS, **KL},
    "rates": PAPER,
    "methods": METHODS,
    "curve": {
        "bdpl": {},
        "bdpl, positions apart": {"optimizer.share": 0.0},
        "bdpl-paper": _paper(RATE),
        "random": RANDOM,
        "greedy": GREEDY,
    },
}
