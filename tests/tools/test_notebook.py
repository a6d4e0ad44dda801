"""A real notebook: `await tune` in its running loop, results and events on the page."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.workbench import write_task

pytestmark = pytest.mark.tools
LEARN = """
import bdpl_async as bdpl
from bdpl_providers import connect
events = []
def heard(event):
    events.append(event)
    watching(event)
watching = bdpl.Watching(bdpl.Budget(prompts=500))
task = bdpl.Task.from_toml("task.toml")
async with connect("simulated/x") as scorer:
    result = await bdpl.tune(
        task, scorer, budget=bdpl.Budget(prompts=500), out="run", on_event=heard
    )
"""
CELLS = (LEARN, "result", "result.dev", "events[0]", "next(e for e in events if e.type == 'step')")
INTERRUPTED = """
import asyncio, os, signal, threading
import bdpl_async as bdpl
from bdpl_async.records import Reply, Score
class Slow:
    name = "mine/slow"
    async def score(self, request):
        await asyncio.sleep(0.05)
        return Reply([Score(logprobs=(-0.5, -1.0)) for _ in request.texts])
task = bdpl.Task.from_toml("task.toml")
threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
await bdpl.tune(task, Slow(), steps=100000, out="cut")
"""
AFTER = "import asyncio; len([t for t in asyncio.all_tasks() if 'bdpl' in repr(t)])"
EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient
cells = [nbformat.v4.new_code_cell(source) for source in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
print(json.dumps([cell.outputs for cell in notebook.cells]))
"""


def executed(jupyter: Path, ours: str, folder: Path, *cells: str) -> list[list[dict[str, Any]]]:
    """The outputs of each cell."""
    done = subprocess.run(
        [jupyter, "-c", EXECUTE],
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": ours,
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        },
    )
    assert done.returncode == 0, done.stderr
    outputs: list[list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return outputs


def test_a_notebook_runs_and_shows(jupyter: Path, ours: str, tmp_path: Path) -> None:
    """One live display ends on the result; result, scores and events are shown as cards."""
    write_task(tmp_path)
    live, *shown = executed(jupyter, ours, tmp_path, *CELLS)
    assert [one["output_type"] for one in live] == ["display_data"], live
    pages = [cell[0]["data"]["text/html"] for cell in (live, *shown)]
    assert "Learned prompt: " in pages[0]
    assert pages[0] == pages[1]
    for page, part in zip(pages[2:], ("accuracy", "rows to learn from", "update 1:"), strict=True):
        assert part in page
    assert (tmp_path / "run" / "result.json").is_file()


def test_an_interrupted_kernel_leaves_nothing_hanging(
    jupyter: Path, ours: str, tmp_path: Path
) -> None:
    """The cell ends, no task of ours goes on, the next cell runs, and what was learned is kept."""
    write_task(tmp_path)
    cut, after = executed(jupyter, ours, tmp_path, INTERRUPTED, AFTER)
    assert cut[-1]["output_type"] == "error", cut
    assert cut[-1]["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert after[-1]["data"]["text/plain"] == "0"
    kept = json.loads((tmp_path / "cut" / "result.json").read_text())
    assert kept["stop_reason"] == "interrupted"
    assert kept["steps_done"] > 0
