"""OpenTelemetry in this process: begun with the first run that wants it, ended with the last.

One set of instruments feeds both ways out. What cannot be delivered is said once, at the end, and
holds nobody up for longer than `PARTING`. Needs the extra ``telemetry``, imported when it is begun.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from bdpl_async import __version__
from bdpl_async.errors import ConfigError
from bdpl_async.telemetry.setting import Setting

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

__all__ = ["Exporting", "current", "exporting"]

PARTING: Final = 3.0  # seconds for the last delivery
LOG = logging.getLogger("bdpl_async.telemetry")


class Exporting:
    """The way out of one process.

    Args:
        setting: which ways.

    Raises:
        ConfigError: the extra is not installed, or the endpoint's port cannot be had.

    Attributes:
        tracer: makes spans, None where nobody wants them.
        meter: makes instruments.
        instruments: by whoever made them, see `bdpl_async.telemetry.watch`.
    """

    def __init__(self, setting: Setting) -> None:
        self.tracer: Tracer | None = None
        self.instruments: Any = None
        self._ends: list[Callable[[], object]] = []
        self._undelivered = _Listener()
        try:
            self.meter: Meter = self._begun(setting)
        except ImportError:
            raise ConfigError(
                "run.telemetry: needs OpenTelemetry", hint="pip install 'bdpl-async[telemetry]'"
            ) from None

    def _begun(self, setting: Setting) -> Meter:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import Resource

        self._undelivered.listen()
        resource = Resource.create({"service.name": "bdpl-async", "service.version": __version__})
        readers = []
        if setting.otlp:
            readers.append(self._sending(resource))
        if setting.prometheus is not None:
            readers.append(self._serving(*setting.prometheus))
        provider = MeterProvider(metric_readers=readers, resource=resource)
        self._ends.insert(0, provider.shutdown)
        return provider.get_meter("bdpl_async", __version__)

    def _sending(self, resource: Any) -> Any:
        """Spans and metrics over HTTP; where to, the environment says."""
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        traces = TracerProvider(resource=resource)
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer = traces.get_tracer("bdpl_async", __version__)
        self._ends.append(traces.shutdown)
        return PeriodicExportingMetricReader(OTLPMetricExporter())

    def _serving(self, host: str, port: int) -> Any:
        """Metrics to whoever asks for them."""
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            raise ConfigError(
                f"run.telemetry: prometheus:{host}:{port} cannot be served: {error.strerror}",
                hint="take another port",
            ) from None
        self._ends += [server.shutdown, server.server_close, thread.join]
        return PrometheusMetricReader(registry=registry)

    async def end(self) -> None:
        """Deliver what is left, for a moment."""
        for watch in [*self.instruments.watches] if self.instruments is not None else ():
            watch.close()
        done = threading.Event()

        def end() -> None:
            for one in self._ends:
                one()
            done.set()

        threading.Thread(target=end, name="bdpl-telemetry", daemon=True).start()
        delivered = await asyncio.to_thread(done.wait, PARTING)
        if (why := self._undelivered.heard()) or not delivered:
            LOG.warning("telemetry could not be delivered: %s", why or "nobody answers")


class _Listener(logging.Handler):
    """Hears what OpenTelemetry logs, so that it does not fill the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._first = ""

    def listen(self) -> None:
        """Begin."""
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first."""
        self._first = self._first or record.getMessage().splitlines()[0][:200]

    def heard(self) -> str:
        """The first; and listen no more."""
        logging.getLogger("opentelemetry").removeHandler(self)
        return self._first


_running: dict[Setting, tuple[Exporting, int]] = {}


def current() -> Exporting | None:
    """The way out that is open in this process; None if none is."""
    return next((found for found, _ in _running.values()), None)


@asynccontextmanager
async def exporting(text: str | None) -> AsyncIterator[Exporting | None]:
    """The process's way out for this setting, shared by all runs that are under way; None if off.

    Raises:
        ConfigError: as `Setting.of` and `Exporting`.
    """
    if text is None:
        yield None
        return
    setting = Setting.of(text)
    found, users = _running.get(setting) or (Exporting(setting), 0)
    _running[setting] = found, users + 1
    try:
        yield found
    finally:
        found, users = _running[setting]
        _running[setting] = found, users - 1
        if users == 1:
            del _running[setting]
            await found.end()
