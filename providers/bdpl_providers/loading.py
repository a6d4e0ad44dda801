"""From a folder or a hub id to a masked language model and its tokenizer, checked to fit together.

torch and transformers are imported inside the functions, so that importing this module is cheap.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bdpl_async.errors import BdplError, ProviderRefused, UsageError
from bdpl_providers.assembly import Assembler
from bdpl_providers.hubreach import hub_answers
from bdpl_providers.maskedlm import MaskedLM
from bdpl_providers.packed import multiplies_bf16

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

__all__ = ["load"]

HINT = "take a folder or hub id of a masked language model with safetensors weights"
OFFLINE = "roberta/builtin ships with the package and needs no network; a folder needs none either"

DTYPES = {"float32": "float32", "bf16": "bfloat16", "bfloat16": "bfloat16", "float16": "float16"}


def load(
    name: str, source: str, device: str | None, dtype: str | None, max_length: int | None
) -> tuple[MaskedLM, Assembler]:
    """The model and the tokenizer at `source`, a folder or a hub id; `Roberta` says the rest.

    Raises:
        UsageError: torch or transformers is missing, or `device` or `dtype` is of no use.
        ProviderRefused: there is no usable masked language model.
    """
    _need_libraries(name)
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    place = _place(name, device)
    # Safetensors only, and no code from the repository: a model file must not run anything.
    here = Path(source).is_dir()
    reached = not here and hub_answers(source)
    options = {"trust_remote_code": False, "local_files_only": not reached}
    try:
        with _quiet():
            model, report = AutoModelForMaskedLM.from_pretrained(
                source,
                use_safetensors=True,
                dtype=getattr(torch, _dtype(name, dtype, place)),
                ignore_mismatched_sizes=True,  # we do not; the report is clearer than the error
                output_loading_info=True,
                **options,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model = model.to(place)
            fast = _checked(name, model, tokenizer, report)
            window = min(_window(model), fast.model_max_length, max_length or sys.maxsize)
            return MaskedLM(model, fast.pad_token_id or 0), Assembler(name, fast, window)
    except BdplError:
        raise
    except Exception as error:  # loaders raise anything: OSError, SafetensorError, bare Exception
        raise _unusable(name, error, cut_off=not (here or reached)) from error


def _unusable(name: str, error: Exception, *, cut_off: bool) -> ProviderRefused:
    """What a loader's error comes to; `cut_off` if there was no hub to load from."""
    reason = _reason(error)
    if cut_off and isinstance(error, OSError):
        reason = "the hub cannot be reached, and the model is not in its cache here"
    return ProviderRefused(
        f"{name}: cannot be loaded as a masked language model: {reason}",
        hint=OFFLINE if cut_off else HINT,
    )


def _reason(error: Exception) -> str:
    """The first line of what `error` says; alone, a key or nothing would not be understood."""
    line = str(error).strip().partition("\n")[0]
    if line and not isinstance(error, KeyError):
        return line
    return ": ".join(filter(None, (type(error).__name__, line)))


def _need_libraries(name: str) -> None:
    """Import torch and transformers for the first time, or say how to install them.

    OpenMP's threads spin while they wait, and where another program needs a core they spin the
    model to a standstill: 75 instead of 218 texts a second on two cores shared with one. Waiting
    quietly must be asked for before torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch
        import transformers
    except ImportError as error:
        raise UsageError(
            f"{name} needs torch and transformers, which cannot be imported: {error}",
            hint="pip install 'bdpl-async[local]'; or take a model behind an API (--model"
            " vllm/NAME), or --model simulated/x to try the commands out",
        ) from error
    del torch, transformers


def _checked(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    report: Mapping[str, Collection[object]],
) -> PreTrainedTokenizerFast:
    """The tokenizer; refused is what would load and then answer nonsense.

    Args:
        report: of the weights, as transformers gives it.
    """
    from transformers import PreTrainedTokenizerFast

    missing = sorted(map(str, report["missing_keys"]))
    known = int(getattr(model.config, "vocab_size", len(tokenizer)))
    if report["mismatched_keys"]:
        what = "its weights have other shapes than its configuration says"
    elif missing:
        what = f"its weights lack {', '.join(missing[:3])}: no trained masked-LM head"
    elif not isinstance(tokenizer, PreTrainedTokenizerFast):
        what = "its tokenizer is a slow one, without character offsets"
    elif tokenizer.mask_token_id is None:
        what = "its tokenizer has no mask token"
    elif len(tokenizer) <= len(tokenizer.all_special_ids):
        what = "its tokenizer has no vocabulary; are its files there?"
    elif len(tokenizer) > known:
        what = f"its tokenizer has {len(tokenizer)} tokens, the model only {known}"
    else:
        return tokenizer
    raise ProviderRefused(f"{name}: cannot be used: {what}", hint=HINT)


def _window(model: PreTrainedModel) -> int:
    """Tokens that the model has positions for; RoBERTa's first ones belong to the padding."""
    places = getattr(model.config, "max_position_embeddings", None) or sys.maxsize
    for path, module in model.named_modules():
        # RoBERTa and its kin number positions from padding_idx + 1 and give the table that index.
        if (
            path.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            return int(places) - int(module.padding_idx) - 1
    return int(places)


def _place(name: str, device: str | None) -> str:
    """Where the model is to run: on `device`, or on the fastest there is."""
    import torch

    place = device or _fastest()
    try:
        torch.empty(1, device=place).cpu()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"{name}: device {place!r} cannot be used: {_reason(error)}",
            hint="take cpu, or leave it out: the fastest that there is will be taken",
        ) from error
    return place


def _fastest() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(name: str, dtype: str | None, place: str) -> str:
    """torch's name for `dtype`; ``auto`` is bfloat16 where the hardware multiplies it fast."""
    import torch

    if dtype == "auto":
        cuda = place.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
        fast = cuda or (place == "cpu" and multiplies_bf16())
        return "bfloat16" if fast else "float32"
    if (dtype or "float32") not in DTYPES:
        raise UsageError(
            f"{name}: dtype {dtype!r} is unknown", hint=f"take one of auto, {', '.join(DTYPES)}"
        )
    return DTYPES[dtype or "float32"]


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, the loaders write neither progress bars nor advice; errors reach us as such."""
    from transformers.utils import logging as chatter

    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    hide: Callable[[], None] = chatter.disable_progress_bar
    show: Callable[[], None] = chatter.enable_progress_bar
    bars = chatter.is_progress_bar_enabled()
    hide()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            show()
