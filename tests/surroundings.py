"""What a page of documentation takes to be there: servers, an installed package, data."""

from __future__ import annotations

import asyncio
import csv
import importlib
import shutil
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.taskrows import table

__all__ = ["fetched", "films", "installed", "serving", "tickets"]

KINDS = {
    "billing": "I was charged twice for {thing}, please refund one payment",
    "technical": "Since the update {thing} stops with an error when I open it",
    "account": "I cannot log in to change the address for {thing}",
}
THINGS = (
    "the monthly plan",
    "my second invoice",
    "the mobile app",
    "our team folder",
    "order 4711",
    "the photo export",
    "the yearly plan",
    "the shared calendar",
    "the spring sale",
    "the new printer",
)


@contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """The address of `app`, on an event loop in a thread of its own."""
    loop, ready, end = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    address: list[str] = []

    async def serve() -> None:
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        address.append(f"http://{host}:{port}")
        ready.set()
        await end.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(60)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(60)
        loop.close()


def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `pip install -e .` does for the package in this folder: imports and entry points."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = Path(f"{project['name']}-{project['version']}.dist-info")
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    importlib.invalidate_caches()


def tickets(path: Path, count: int) -> None:
    """A CSV of `count` tickets of three kinds, with the columns text and label."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(count):
            label = list(KINDS)[i % len(KINDS)]
            text = KINDS[label].format(thing=THINGS[i // len(KINDS) % len(THINGS)])
            writer.writerow([f"{text}. This is ticket {i}.", label])


def films(folder: Path) -> None:
    """A data folder in the form of SST-2, with rows of ours."""
    folder.mkdir()
    for name, each, start in (("train", 40, 0), ("dev", 12, 1)):
        (folder / f"{name}.tsv").write_text(table("sst2", each, start), encoding="utf-8")


def fetched(model: Path, folder: Path) -> None:
    """What fetching a model's folder leaves; here a copy of one that is on this machine."""
    shutil.copytree(model, folder)
