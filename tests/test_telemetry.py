"""The rules of `bdpl_async.telemetry`: off it costs nothing; on it tells numbers, and no texts."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bdpl_async.errors import ConfigError
from bdpl_async.telemetry.exporting import current, exporting
from bdpl_async.telemetry.setting import Setting
from tests.killing import TOOL, ended, started


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("otlp", Setting(otlp=True)),
        ("prometheus:9464", Setting(prometheus=("127.0.0.1", 9464))),
        ("prometheus:0.0.0.0:80", Setting(prometheus=("0.0.0.0", 80))),  # noqa: S104  what is said
        ("prometheus:[::1]:80", Setting(prometheus=("::1", 80))),
        ("otlp, prometheus:1", Setting(otlp=True, prometheus=("127.0.0.1", 1))),
    ],
)
def test_a_setting_names_ways_out(text: str, expected: Setting) -> None:
    """One or both."""
    assert Setting.of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "on", "otlp:x", "otlp,otlp", "prometheus", "prometheus:", "prometheus:x"),
        *("prometheus:0", "prometheus:70000", "prometheus:1,prometheus:2"),
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    """Naming the key."""
    with pytest.raises(ConfigError, match=r"^run\.telemetry: "):
        Setting.of(text)


async def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    with pytest.raises(ConfigError, match="needs OpenTelemetry") as caught:
        async with exporting("otlp"):
            pass
    assert "bdpl-async[telemetry]" in str(caught.value.hint)
    assert current() is None


def test_off_nothing_is_imported(tmp_path: Path) -> None:
    """A run without it knows nothing of it."""
    program = (
        "import sys; from bdpl_cli.main import main\n"
        "try: main()\n"
        "finally: print([m for m in sys.modules if m.startswith(('opentelemetry', 'prometheus'))])"
    )
    words = ["run", "--model", "simulated/demo", "--steps", "2", "--ui", "none"]
    done = ended(started(tmp_path, [sys.executable, "-c", program, *words, "--out", "out"]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run(folder: Path, telemetry: str, steps: int, **more: str) -> subprocess.Popen[str]:
    words = [*TOOL, "run", "--model", "simulated/demo", "--steps", str(steps), "--seed", "0"]
    words += ["--ui", "none", "--out", str(folder / "out"), "--telemetry", telemetry]
    return started(folder, words, **more)


def test_prometheus_sees_a_run_as_it_goes(tmp_path: Path) -> None:
    """By the conventional names, with the run's labels, and none of its texts."""
    pytest.importorskip("opentelemetry.exporter.prometheus", reason="the extra is not installed")
    port = free_port()
    going = run(tmp_path, f"prometheus:{port}", 3_000)
    seen = ""
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
                seen = reply.read().decode()
        except OSError:
            pass
        if "bdpl_loss{" in seen:
            break
        threading.Event().wait(0.1)
    going.terminate()
    assert ended(going).returncode == 130
    for name in (
        "gen_ai_client_operation_duration_seconds_count",
        "gen_ai_client_token_usage_sum",
        "bdpl_spent",
        "bdpl_updates",
    ):
        assert f"\n{name}{{" in seen
    labels = ('bdpl_task="reviews"', 'bdpl_seed="0"', 'gen_ai_request_model="demo"')
    assert all(label in seen for label in labels)
    assert "terrible" not in seen


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Takes what is delivered: path -> all bodies."""
    got: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got[self.path] = got.get(self.path, b"") + body
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_collector_gets_spans_and_metrics(tmp_path: Path) -> None:
    """By the end of the run all of them; no text and no key among them."""
    pytest.importorskip("opentelemetry.exporter.otlp", reason="the extra is not installed")
    with collector() as (url, got):
        done = ended(run(tmp_path, "otlp", 3, OTEL_EXPORTER_OTLP_ENDPOINT=url))
    assert (done.returncode, done.stderr) == (0, "")
    spans, metrics = got["/v1/traces"], got["/v1/metrics"]
    for word in (b"bdpl.run", b"text_completion demo", b"gen_ai.usage.input_tokens"):
        assert word in spans
    assert b"gen_ai.client.operation.duration" in metrics
    prompt = json.loads((tmp_path / "out" / "result.json").read_text())["prompt"]
    for word in (prompt.encode(), b"terrible", b"sk-of-the-arena"):
        assert word not in spans + metrics


def test_a_collector_that_is_away_costs_a_note(tmp_path: Path) -> None:
    """The run is the same, ends soon, and leaves no trace of an error."""
    pytest.importorskip("opentelemetry.exporter.otlp", reason="the extra is not installed")
    away = f"http://127.0.0.1:{free_port()}"
    done = ended(run(tmp_path, "otlp", 3, OTEL_EXPORTER_OTLP_ENDPOINT=away))
    assert done.returncode == 0
    assert "telemetry could not be delivered" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_ends_with_2(tmp_path: Path) -> None:
    """Before anything is sent."""
    pytest.importorskip("opentelemetry.exporter.prometheus", reason="the extra is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = ended(run(tmp_path, f"prometheus:{taken.getsockname()[1]}", 3))
    assert done.returncode == 2
    assert "cannot be served" in done.stderr


async def test_runs_of_a_process_share_one_way_out() -> None:
    """The last one closes it."""
    pytest.importorskip("opentelemetry.exporter.prometheus", reason="the extra is not installed")
    text = f"prometheus:{free_port()}"
    async with exporting(text) as one:
        async with exporting(text) as two:
            assert one is two is current()
        assert current() is one
        await asyncio.sleep(0)
    assert current() is None
    async with exporting(None) as nothing:
        assert nothing is None
