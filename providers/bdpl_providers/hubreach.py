"""Whether the Hugging Face hub is within reach: one look, where its client takes many."""

from __future__ import annotations

__all__ = ["hub_answers"]

ONE_LOOK = 5.0  # seconds for an answer


def hub_answers(name: str) -> bool:
    """Whether the hub says anything at all about the model `name`, be it that there is none.

    Its client tries each of many files five times, with waits: half a minute without a network.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(name, timeout=ONE_LOOK)
    except HfHubHTTPError:
        return True
    except Exception:  # whichever transport it has raises errors of its own
        return False
    return True
