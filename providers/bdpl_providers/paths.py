"""A transport that remembers, while one probe lasts, which paths a server does not have.

A path that brought 404 is not asked again. Where neither way to ask a model is there, the address
is wrong, and nothing else need be tried. It knows no labels and no read-outs.
"""

from __future__ import annotations

import re

from bdpl_async.errors import ProviderRefused, RequestFailed
from bdpl_providers.adapter import CHAT, Relearned
from bdpl_providers.wire import Answer, Document, Transport

__all__ = ["Paths", "address_hint"]

ASKED = frozenset({"/completions", CHAT})  # hardly a server has neither
VERSION = re.compile(r"/v\d\w*(/|$)")
# A 404 with such words is about what was asked, and another body may pass.
PARTICULAR = re.compile(r"log_?prob|\bmodel\b", re.IGNORECASE)
LOST = " brought 404: "


class Paths:
    """A `Transport` before another one, for one probe.

    Args:
        name: the scorer's, for messages.
        base_url: of the server.
        inner: what sends.
    """

    def __init__(self, name: str, base_url: str, inner: Transport) -> None:
        self._name = name
        self._base_url = base_url
        self._inner = inner
        self._missing: dict[str, RequestFailed] = {}

    async def get(self, path: str) -> Answer:
        """GET a JSON object."""
        return await self._inner.get(path)

    def check(self, path: str) -> None:
        """Before a request is counted that would bring 404.

        Raises:
            RequestFailed: the path is known not to be there.
        """
        if (known := self._missing.get(path)) is not None:
            raise RequestFailed(str(known.args[0]), hint=known.hint, fate="unsent")

    async def post(self, path: str, body: Document, *, root: bool = False) -> Answer:
        """POST `body`.

        Raises:
            ProviderRefused: the address is wrong, as far as it shows.
            ProviderError: as the inner transport.
        """
        try:
            return await self._inner.post(path, body, root=root)
        except RequestFailed as error:
            if root or not _lost(error):
                raise
            self._missing[path] = error
            if not self._missing.keys() >= ASKED:
                raise
        raise ProviderRefused(
            f"{self._name}: {self._base_url} has neither /completions nor {CHAT}: both brought 404",
            hint=address_hint(self._base_url),
            fate="refused",
        )


def address_hint(base_url: str) -> str:
    """What to do about an address under which nothing is found."""
    if VERSION.search(base_url) is None:
        return f"did you forget /v1? Try --base-url {base_url.rstrip('/')}/v1"
    return "check --base-url: it is the address up to and with /v1, as in http://host:8000/v1"


def _lost(error: RequestFailed) -> bool:
    """Whether it says that nothing is there, whatever is asked."""
    _, found, words = str(error.args[0]).partition(LOST)
    return bool(found) and not isinstance(error, Relearned) and not PARTICULAR.search(words)
