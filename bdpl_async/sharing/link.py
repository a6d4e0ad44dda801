"""A connection to a Redis that runs our scripts, one after another, and says why it cannot.

It never tries again by itself: a script whose answer was lost may have run, and only its caller
knows whether it may run twice. Needs the extra ``redis``, imported when the first one is made.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bdpl_async.errors import ConfigError
from bdpl_async.sharing.address import PASSWORD, Address

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["Link", "Unreachable"]

PATIENCE: Final = 2.0  # seconds for one script; they take less than a millisecond
FOLDER: Final = Path(__file__).parent
Value = str | bytes | int | float


class Unreachable(Exception):
    """Raised when a Redis gives no answer, or none that is one; it may have run the script."""


class Link:
    """Scripts go over it in the order of the calls, one at a time.

    Args:
        key: of the setting that names the Redis, for messages.
        address: which one.
        environ: where the password is.

    Raises:
        ConfigError: the extra is not installed, or a file of authorities cannot be used.
    """

    def __init__(self, key: str, address: Address, environ: Mapping[str, str] = os.environ) -> None:
        self.key, self.address = key, address
        self._lock = asyncio.Lock()
        self._scripts: dict[str, str] = {}
        self._client = _client(key, address, environ)

    def __repr__(self) -> str:
        return f"<Link {self.address}>"

    async def run(self, script: str, *values: Value, patience: float = PATIENCE) -> Any:
        """What the script of that name gives for these values.

        Raises:
            Unreachable: no connection, no answer in time, or an error of the server's.
            ConfigError: the password is wrong, or the user may not do what is needed.
        """
        from redis import exceptions as faults

        try:
            async with asyncio.timeout(patience), self._lock:
                return await self._ran(script, values)
        except (faults.AuthenticationError, faults.NoPermissionError) as error:
            raise self._unwelcome(error) from None
        except TimeoutError:
            raise Unreachable(f"no answer within {patience:g} s") from None
        except faults.ResponseError as error:
            if "NOAUTH" in str(error) or "WRONGPASS" in str(error):
                raise self._unwelcome(error) from None
            raise Unreachable(_first_line(error)) from None
        except (faults.RedisError, OSError) as error:
            raise Unreachable(_first_line(error)) from None

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _ran(self, script: str, values: Sequence[Value]) -> Any:
        """The script's answer; it is sent whole only to a server that does not know it."""
        from redis.exceptions import NoScriptError

        if script not in self._scripts:
            self._scripts[script] = await self._client.script_load(_source(script))
        try:
            return await self._client.evalsha(self._scripts[script], 0, *values)
        except NoScriptError:  # restarted, or flushed: then it has not run
            return await self._client.eval(_source(script), 0, *values)

    def _unwelcome(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"{self.key}: {self.address} refuses: {_first_line(error)}",
            hint=f"put the right password into the environment as {PASSWORD}",
        )


def _source(script: str) -> str:
    return (FOLDER / f"{script}.lua").read_text("utf-8")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _client(key: str, address: Address, environ: Mapping[str, str]) -> Redis:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigError(
            f"{key}: {address} needs the package redis", hint="pip install 'bdpl-async[redis]'"
        ) from None
    if address.ca is not None and not Path(address.ca).is_file():
        raise ConfigError(f"{key}: ca: there is no file {address.ca}")
    return Redis(
        **address.options(environ),
        socket_connect_timeout=PATIENCE,
        socket_timeout=None,  # the caller keeps the time
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        client_name="bdpl-async",
    )
