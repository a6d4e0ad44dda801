"""Who can score: a table of names, imported only when asked for.

    async with connect("roberta/builtin") as scorer:
        result = await bdpl.tune(task, scorer)

A third party registers a provider through the entry-point group ``bdpl_async.providers``: a
callable that takes `Connection` and gives back a `Scorer`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TypedDict, Unpack, cast

from bdpl_async.errors import ConfigError
from bdpl_async.keylike import hidden
from bdpl_async.scorer import Scorer

__all__ = ["Connection", "Options", "connect", "providers"]

BUILT_IN = {
    "compatible": "bdpl_providers.compatible:from_connection",
    "openai": "bdpl_providers.openai:from_connection",
    "roberta": "bdpl_providers.roberta:connected",
    "simulated": "bdpl_providers.simulated:from_connection",
    "vllm": "bdpl_providers.vllm:from_connection",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """What a provider is told: the part of the name behind the slash, and how to reach it.

    `device` and `dtype` are for models that run on this machine, the rest for servers.

    Attributes:
        model: the name behind the first slash, further slashes included.
        base_url: of the server; None takes the provider's own.
        api_key_env: the environment variable that holds the account's key.
        readout: how label probabilities are read; ``auto`` takes the best that works.
        device: as torch names it.
        workers: Ray actors that hold the model; None holds it in this process.
        dtype: of the weights.
        timeout: seconds of one attempt in all.
        concurrency: requests in flight at most.
        batch_prompts: texts per request; None leaves it to the provider.
        system: the system message of a chat.
        ask: the line of a chat that asks for a label word; None names them all.
        tokenizer: a ``tokenizer.json`` of the model, or a folder that holds one.
        sends: whether anything will be sent; an estimate sends nothing and needs no key.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    readout: str = "auto"
    device: str | None = None
    workers: int | None = None
    dtype: str | None = None
    timeout: float = 60.0
    concurrency: int = 64
    batch_prompts: int | None = None
    system: str | None = None
    ask: str | None = None
    tokenizer: str | None = None
    sends: bool = True


class Options(TypedDict, total=False):
    """What may be said beside the name: the attributes of `Connection`."""

    base_url: str | None
    api_key_env: str | None
    readout: str
    device: str | None
    workers: int | None
    dtype: str | None
    timeout: float
    concurrency: int
    batch_prompts: int | None
    system: str | None
    ask: str | None
    tokenizer: str | None
    sends: bool


Factory = Callable[[Connection], Scorer]


def providers() -> list[str]:
    """The names that may stand before the slash."""
    return sorted({*BUILT_IN, *(point.name for point in _third_parties())})


@asynccontextmanager
async def connect(name: str, **options: Unpack[Options]) -> AsyncIterator[Scorer]:
    """Open the scorer that ``PROVIDER/MODEL`` names, and close it at the end.

    Args:
        name: PROVIDER/MODEL.
        options: any attribute of `Connection` but `model`.

    Raises:
        ConfigError: no such provider, the name has not the form PROVIDER/MODEL, or an option that
            the provider does not have.
        ProviderRefused: the provider cannot give this model.
    """
    provider, slash, model = name.partition("/")
    if not slash or not provider or not model:
        raise ConfigError(
            f"model.name: {name!r} is not of the form PROVIDER/MODEL",
            hint=f"for example roberta/builtin; providers: {', '.join(providers())}",
        )
    if hidden(model) != model:
        raise ConfigError(
            f"model.name: what follows {provider}/ looks like a key",
            hint="keys come from the environment; here the model's name is wanted",
        )
    if options.get("workers") is not None and provider != "roberta":
        raise ConfigError(
            f"model.workers: {provider} has no workers of ours",
            hint="leave it out, or take roberta/",
        )
    scorer = _factory(provider)(Connection(model, **options))
    if isinstance(scorer, AbstractAsyncContextManager):
        async with scorer:
            yield scorer
    else:
        yield scorer


def _factory(provider: str) -> Factory:
    if provider in BUILT_IN:
        module, _, function = BUILT_IN[provider].partition(":")
        return cast(Factory, getattr(import_module(module), function))
    for point in _third_parties():
        if point.name == provider:
            return _loaded(point)
    raise ConfigError(
        f"model.name: unknown provider {provider!r}", hint=f"providers: {', '.join(providers())}"
    )


def _loaded(point: EntryPoint) -> Factory:
    try:
        return cast(Factory, point.load())
    except Exception as error:  # whatever a foreign module does when it is imported
        raise ConfigError(
            f"model.name: the provider {point.name!r} ({point.value}) cannot be imported: {error}",
            hint="mend or remove the package that registers it",
        ) from error


def _third_parties() -> list[EntryPoint]:
    return list(entry_points(group="bdpl_async.providers"))
