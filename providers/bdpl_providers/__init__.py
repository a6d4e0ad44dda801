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
from typing import cast

from bdpl_async.errors import ConfigError
from bdpl_async.scorer import Scorer

__all__ = ["Connection", "connect", "providers"]

BUILT_IN = {
    "roberta": "bdpl_providers.roberta:from_connection",
    "simulated": "bdpl_providers.simulated:from_connection",
}
ANNOUNCED = ("openai", "vllm", "compatible")


@dataclass(frozen=True, slots=True)
class Connection:
    """What a provider is told: the part of the name behind the slash, and how to reach it.

    `device` and `dtype` are for models that run on this machine, the rest for servers.
    """

    model: str
    base_url: str | None = None
    api_key_env: str | None = None
    readout: str = "auto"
    device: str | None = None
    dtype: str | None = None


Factory = Callable[[Connection], Scorer]


def providers() -> list[str]:
    """The names that may stand before the slash."""
    return sorted({*BUILT_IN, *(point.name for point in _third_parties())})


@asynccontextmanager
async def connect(
    name: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    readout: str = "auto",
    device: str | None = None,
    dtype: str | None = None,
) -> AsyncIterator[Scorer]:
    """Open the scorer that ``PROVIDER/MODEL`` names, and close it at the end.

    Raises:
        ConfigError: no such provider, or the name has not the form PROVIDER/MODEL.
        ProviderRefused: the provider cannot give this model.
    """
    provider, slash, model = name.partition("/")
    if not slash or not provider or not model:
        raise ConfigError(
            f"model.name: {name!r} is not of the form PROVIDER/MODEL",
            hint=f"for example roberta/builtin; providers: {', '.join(providers())}",
        )
    told = Connection(model, base_url, api_key_env, readout, device, dtype)
    scorer = _factory(provider)(told)
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
    if provider in ANNOUNCED:
        raise ConfigError(
            f"model.name: the provider {provider!r} is not built yet",
            hint=f"providers: {', '.join(providers())}",
        )
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
