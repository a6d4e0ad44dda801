"""A key given in the environment reaches the server and nothing else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest

from bdpl_async.errors import BdplError
from bdpl_async.records import Prompt, Reply, Request
from bdpl_async.run import Run
from bdpl_async.task import Task
from bdpl_cli.connecting import connected
from tests.faults import REFUSALS, SPOILT, Faults
from tests.faultserver import FaultServer, Manners
from tests.hasty import hasty
from tests.rawserver import Server, http, says, serving
from tests.workbench import command, write_task

ROOT = Path(__file__).parents[1]
KEY = "Zq7w.Kobold~Marzipan-4711"  # of no known form, so that only its value can be searched for
PIECE = KEY[:9]  # a message that is cut off in the middle of the key must not show its half either
BAD_MIX = dict.fromkeys(("429", "500", "503", "502", "html", "truncated", "reset"), 0.04)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The key in the environment, and a folder of one's own to run in."""
    monkeypatch.setenv("VLLM_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)


def everything_in(folder: Path) -> dict[str, bytes]:
    """All bytes of all files, names included."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): str(path).encode() + path.read_bytes() for path in files}


def arguments(server: FaultServer, *more: str) -> list[str]:
    told = ["run", "task.toml", "--model", "vllm/fake", "--base-url", server.url]
    return [*told, "--out", "out", "--cache", "cache.db", *more]


def leaks(text: str | bytes) -> bool:
    raw = text.encode() if isinstance(text, str) else text
    return PIECE.encode() in raw


@pytest.mark.parametrize("view", ["json", "plain"])
def test_a_run_through_trouble_keeps_the_key(
    view: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Events, results, cache, output and logs hold no key, though the server repeats it."""
    caplog.set_level(logging.DEBUG)
    write_task(tmp_path)
    manners = Manners(key=KEY, echo=True, faults=Faults(rates=BAD_MIX))
    with FaultServer.in_thread(manners) as server:
        outcome = command(capsys, *arguments(server, "--ui", view, "--timeout", "5"))
    assert outcome.code == 0, outcome.err
    assert server.books.keys == {f"Bearer {KEY}"}
    assert sum(server.books.struck.values()) > 0
    files = everything_in(tmp_path)
    assert any("cache.db" in name for name in files)
    assert any("events.jsonl" in name for name in files)
    assert [name for name, content in files.items() if leaks(content)] == []
    assert not leaks(outcome.out + outcome.err + caplog.text)


@pytest.mark.parametrize("status", ["401", "quota", "500"])
def test_a_run_that_is_refused_keeps_the_key(status: str, tmp_path: Path) -> None:
    """A process of its own, as talkative as Python can be, ends without a word of the key."""
    write_task(tmp_path)
    always = Faults(rates={status: 1.0}, at_most=10_000)
    wrong = Manners(key="another", echo=True)
    manners = wrong if status == "401" else Manners(echo=True, faults=always)
    folders = [ROOT, ROOT / "providers", ROOT / "cli"]
    loud = {"PYTHONDEVMODE": "1", "PYTHONASYNCIODEBUG": "1", "OPENAI_LOG": "debug"}
    with FaultServer.in_thread(manners) as server:
        done = subprocess.run(
            [sys.executable, "-m", "bdpl_cli", *arguments(server, "--set", "model.attempts=1")],
            cwd=tmp_path,
            env={**os.environ, **loud, "PYTHONPATH": os.pathsep.join(map(str, folders))},
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3, done.stderr
    assert server.books.keys == {f"Bearer {KEY}"}
    assert not leaks(done.stdout + done.stderr)
    assert [name for name, content in everything_in(tmp_path).items() if leaks(content)] == []


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("kind", [*REFUSALS, *SPOILT, "quota", "context", "redirect", "down"])
def test_no_error_shows_the_key(kind: str, echo: bool, tmp_path: Path) -> None:
    """Not its message, its causes, its traceback; nor its frames' variables, unless the server
    itself said the key a moment ago."""

    async def work() -> list[BaseException]:
        manners = Manners(key=KEY, echo=echo, elsewhere="http://127.0.0.1:9/v1/completions")
        async with FaultServer(manners) as server:
            told = {"model.name": "vllm/fake", "model.base_url": server.url, "run.cache": "none"}
            task = Task.from_toml(write_task(tmp_path), overrides={**told, "model.timeout": 1.0})
            async with connected(task.config) as scorer:
                await Run.open(task, scorer)
                texts = tuple(task.text(Prompt(), row) for row in task.dev.examples[:2])
                manners.faults = Faults(rates={kind: 1.0}, at_most=10_000)
                if kind == "down":
                    await server.__aexit__()
                try:
                    async with asyncio.timeout(2):
                        reply = await scorer.score(Request(texts, task.words))
                except (BdplError, TimeoutError) as error:
                    return [error]
                return troubles(reply, repr(scorer))

    found = hasty(work())
    assert found
    for error in found:
        if error.__traceback__ is not None:  # the first frame is ours, and it knows the key
            error.__traceback__ = error.__traceback__.tb_next
        told = traceback.TracebackException.from_exception(error, capture_locals=not echo)
        lines = "".join(told.format()) + repr(error) + str(error.__dict__)
        assert [line for line in lines.splitlines() if leaks(line)] == []


def troubles(reply: Reply, shown: str) -> list[BaseException]:
    """The errors that stand in a reply, and the scorer's own repr as one more."""
    errors = [score for score in reply.scores if isinstance(score, BdplError)]
    return [*errors, RuntimeError(shown)]


def test_the_resolved_configuration_names_the_variable_only(tmp_path: Path) -> None:
    """run.toml says where the key comes from, never what it is."""
    path = write_task(tmp_path)
    task = Task.from_toml(path, overrides={"model.api_key_env": "VLLM_API_KEY"})
    assert "VLLM_API_KEY" in task.config.to_toml()
    assert not leaks(task.config.to_toml())


PASTED = "sk-proj-ABCDEF0123456789abcdef0123456789xyz"
MODELLESS = ('[model]\nname = "simulated/x"\n', "")


@pytest.mark.parametrize(
    "told",
    [
        ("run", "task.toml", "--api-key-env", PASTED),
        ("run", "task.toml", "--api-key", PASTED),
        ("run", "task.toml", f"--api-key={PASTED}"),
        ("run", "task.toml", "--model", PASTED),
        ("run", "task.toml", "--model", f"vllm/{PASTED}"),
        ("estimate", "task.toml", "--model", f"openai/{PASTED}"),
        ("run", "task.toml", "--model", f"{PASTED}/gpt"),
        ("probe", "--model", f"vllm/{PASTED}"),
        ("compare", "task.toml", "--model", PASTED),
        ("run", "task.toml", "--model", "vllm/x", "--base-url", PASTED),
        ("run", "task.toml", "--model", "vllm/x", "--base-url", f"http://me:{PASTED}@h/v1"),
        ("run", "task.toml", "--model", "vllm/x", "--base-url", f"http://h/v1?key={PASTED}"),
        ("run", "task.toml", "--model", "vllm/x", "--base-url", f"http://h/{PASTED}"),
        ("run", "task.toml", "--set", f"model.api_key={PASTED}"),
        ("run", "task.toml", "--set", f"api_key={PASTED}"),
        ("run", "task.toml", "--set", f"model.{PASTED}=1"),
        ("run", "task.toml", "--timeout", PASTED),
        ("run", "task.toml", "--readout", PASTED),
        ("run", PASTED),
        ("run", f"OPENAI_API_KEY={PASTED}"),
        (f"OPENAI_API_KEY={PASTED}", "run"),
        ("run", "task.toml", PASTED),
    ],
)
def test_a_key_in_the_wrong_place_is_not_shown(
    told: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given as an option, a model, an address or a command, it is refused and never repeated."""
    write_task(tmp_path)
    outcome = command(capsys, *told)
    assert outcome.code == 2
    assert PASTED[:20] not in outcome.out + outcome.err
    assert list(tmp_path.glob("runs/*")) == []


@pytest.mark.parametrize(
    "lines",
    [
        f'[model]\napi_key = "{PASTED}"\n',
        f"[model]\napi_key = {PASTED}\n",
        f'[model]\napi_key_env = "{PASTED}"\n',
        '[model]\napi_key_env = "abcdef0123456789abcdef0123456789"\n',
        f'[model]\nname = "{PASTED}"\n',
        f'[model]\nname = "vllm/x"\nbase_url = "{PASTED}"\n',
        f'[model]\nname = "vllm/x"\nheaders = {{ Authorization = "Bearer {PASTED}" }}\n',
        f'[[models]]\nname = "vllm/x"\napi_key = "{PASTED}"\n',
        f"[model]\n{PASTED} = true\n",
    ],
)
def test_a_key_in_the_file_is_not_shown(
    lines: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TASK.toml may not hold a key; the message names the place and not the value."""
    write_task(tmp_path, MODELLESS, more=lines)
    outcome = command(capsys, "run", "task.toml", "--out", "out")
    assert outcome.code == 2
    assert PASTED[:20] not in outcome.out + outcome.err
    assert "abcdef0123456789abcdef" not in outcome.out + outcome.err
    assert not (tmp_path / "out").exists()


def test_a_key_of_no_known_form_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in the environment as a key is known again wherever it was pasted."""
    write_task(tmp_path)
    for told in (("--model", KEY), ("--timeout", KEY), ("--set", f"model.name={KEY}")):
        outcome = command(capsys, "run", "task.toml", *told)
        assert outcome.code == 2
        assert not leaks(outcome.out + outcome.err)


FORMS = {
    "base64": base64.b64encode(KEY.encode()).decode(),
    "basic": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "quoted": quote(KEY, safe=""),
    "hex": KEY.encode().hex(),
    "sha256": hashlib.sha256(KEY.encode()).hexdigest(),
    "spelled": "".join(f"\\u{ord(sign):04x}" for sign in KEY),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", ["401 Unauthorized", "400 Bad", "302 Found"])
async def test_a_server_that_says_the_key_in_another_way_is_not_repeated(
    form: str, status: str, tmp_path: Path
) -> None:
    """Encoded or digested, in the body and in `Location`: whoever knows the form learns nothing."""
    said = FORMS[form]
    body = f'{{"error": {{"message": "no key {said} here"}}}}'.encode()
    place = "" if form == "spelled" else f"Location: http://h/?key={said}\r\n"
    async with serving(says(http(body, status, place))) as server:
        error = await probed(server, tmp_path)
    shown = "".join(traceback.format_exception(error)) + repr(vars(error))
    middle = (json.loads(f'"{said}"') if form == "spelled" else said)[6:-6]
    assert middle not in shown
    assert said[6:-6] not in shown


async def probed(server: Server, folder: Path) -> BdplError:
    """The error by which a run at this server ends."""
    told = {"model.name": "vllm/fake", "model.base_url": server.url, "run.cache": "none"}
    task = Task.from_toml(write_task(folder), overrides={**told, "model.attempts": 1})
    async with connected(task.config) as scorer:
        with pytest.raises(BdplError) as caught:
            await Run.open(task, scorer)
    return caught.value


@pytest.mark.parametrize("told", ["run", "estimate", "eval", "compare", "probe"])
def test_plain_http_to_another_machine_is_warned_of(
    told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, on stderr, in short lines, before anything is sent; JSON on stdout stays pure."""
    write_task(tmp_path)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    url = f"http://{told}.example:8000/v1"
    server = ("--model", "vllm/fake", "--base-url", url, "--set", "model.attempts=1")
    more = {
        "run": ("--ui", "json", "--out", "out"),
        "eval": ("--prompt", "x", "--json"),
        "probe": ("--json",),
        "compare": ("--json", "--seeds", "2"),
        "estimate": ("--json",),
    }
    task = () if told == "probe" else ("task.toml",)
    outcome = command(capsys, told, *task, *server, *more[told])
    assert outcome.code == (0 if told == "estimate" else 3), outcome.err
    words = " ".join(outcome.err.split())
    assert words.count("without encryption") == 1
    first = (words + "bdpl-async: ").index("bdpl-async: ")  # what came of the requests
    assert words.index("warning: ") < first
    assert f"the key in VLLM_API_KEY goes to http://{told}.example:8000" in words
    assert max(map(len, outcome.err.split("bdpl-async:")[0].splitlines())) <= 80
    for line in outcome.out.splitlines() if told == "run" else filter(None, [outcome.out]):
        json.loads(line)


def test_the_warning_stands_in_the_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a note, so that who reads a run later knows; a server here brings none."""
    write_task(tmp_path)
    with FaultServer.in_thread(Manners(key=KEY)) as server:
        done = command(capsys, *arguments(server))
        assert "encryption" not in done.err + (tmp_path / "out/events.jsonl").read_text()
        monkeypatch.setattr("bdpl_providers.credentials.here", lambda host: False)
        told = ["run", "task.toml", "--model", "vllm/fake", "--base-url", server.url]
        done = command(capsys, *told, "--out", "other", "--cache", "none", "--ui", "plain")
    assert done.code == 0, done.err
    assert " ".join((done.err + done.out).split()).count("without encryption") == 1
    lines = (tmp_path / "other/events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    notes = [event["message"] for event in events if event["type"] == "note"]
    assert sum("without encryption" in note for note in notes) == 1


def test_the_key_is_in_no_argument_of_a_process(tmp_path: Path) -> None:
    """Anyone on the machine may list processes: neither ours nor a child of it shows the key."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("needs /proc")
    write_task(tmp_path)
    script = (
        "import os, pathlib, sys, threading\n"
        "from bdpl_cli.main import main\n"
        "def look():\n"
        "    for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "        for name in ('cmdline', 'comm'):\n"
        "            try:\n"
        "                if os.getuid() == os.stat(f'/proc/{pid}').st_uid:\n"
        "                    seen.append(pathlib.Path(f'/proc/{pid}/{name}').read_bytes())\n"
        "            except OSError:\n"
        "                pass\n"
        "seen = []\n"
        "import bdpl_async.run\n"
        "opened = bdpl_async.run.Run.open\n"
        "async def watched(*a, **k):\n"
        "    look()\n"
        "    return await opened(*a, **k)\n"
        "bdpl_async.run.Run.open = watched\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    sys.stdout.buffer.write(b'SEEN' + b' '.join(seen))\n"
    )
    folders = [ROOT, ROOT / "providers", ROOT / "cli"]
    with FaultServer.in_thread(Manners(key=KEY)) as server:
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments(server, "--ui", "none")],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert b"task.toml" in done.stdout.partition(b"SEEN")[2]
    assert not leaks(done.stdout + done.stderr)
