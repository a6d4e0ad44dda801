"""``bdpl-async report``: one HTML file about a run or a comparison, which opens offline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["report"]

NAME = "report.html"
NO_PLOTS = "no figures, tables alone: pip install 'bdpl-async[report]' gives the plots"


def report(
    run: Annotated[Path, Parameter(name="RUN_DIR", help="The folder of a run or a comparison")],
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(name=("--out", "-o"), help="The file to write; RUN_DIR/report.html without it"),
    ] = None,
    data: Annotated[
        Path | None, Parameter(help="Folder that the data are in now, if they were moved")
    ] = None,
    title: Annotated[str | None, Parameter(help="Heading of the page")] = None,
) -> None:
    """Write one HTML file about a run or a comparison; nothing is asked of a model."""
    from bdpl_cli.plaintext import clean

    run = run.expanduser()
    file = run / NAME if out is None else out.expanduser()
    page = _page(run, data, title)
    _refuse_other(file)
    _write(file, page)
    print(clean(str(file)))


def _page(run: Path, data: Path | None, title: str | None) -> bytes:
    from bdpl_async.studies.boardfile import is_comparison

    return (_of_comparison if is_comparison(run) else _of_run)(run, data, title)


def _of_run(run: Path, data: Path | None, title: str | None) -> bytes:
    from dataclasses import replace

    from bdpl_cli.page.flipped import MOST
    from bdpl_cli.page.material import gather
    from bdpl_cli.page.runpage import run_page

    material = gather(run, data, examples=MOST)
    failure = material.explained.failure
    if failure is not None:
        if data is not None:
            raise failure
        _say(f"flipped examples by number only: {failure.args[0]}")
        _say("  if the data were moved, give their folder as --data DIR")
    return run_page(replace(material, plots=_plots()), title)


def _of_comparison(folder: Path, data: Path | None, title: str | None) -> bytes:
    from bdpl_async.errors import ConfigError
    from bdpl_async.studies.boardfile import read_comparison
    from bdpl_cli.page.comparison import comparison_page

    if data is not None:
        raise ConfigError(
            f"--data: {folder} is a comparison, whose page shows no rows", hint="leave it out"
        )
    kept = read_comparison(folder)
    return comparison_page(kept, title, plots=_plots())


def _plots() -> bool:
    """Whether figures can be drawn; says how to get them if not."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        _say(NO_PLOTS)
        return False
    return True


def _refuse_other(file: Path) -> None:
    """See to it that nothing but an older page is written over.

    Raises:
        ConfigError: a folder, or a file that is no page of ours.
    """
    from bdpl_async.errors import ConfigError
    from bdpl_cli.page.document import is_page

    try:
        if file.is_dir():
            raise ConfigError(f"{file}: is a folder", hint="give a file, as in -o report.html")
        if file.exists() and not file.is_file():
            raise ConfigError(f"{file}: is no file", hint="give another file as -o")
        if file.exists():
            with file.open("rb") as old:
                if is_page(old.read(2000)):
                    return
            raise ConfigError(
                f"{file}: is there already, and is no report", hint="give another file as -o"
            )
    except (OSError, ValueError) as error:
        raise _unwritable(file, error) from None


def _write(file: Path, page: bytes) -> None:
    from bdpl_async.saving.durable import write_atomically

    try:
        write_atomically(file, page)
    except (OSError, ValueError) as error:
        raise _unwritable(file, error) from None


def _unwritable(file: Path, error: OSError | ValueError) -> Exception:
    from bdpl_async.errors import ConfigError

    reason = getattr(error, "strerror", None) or str(error)
    return ConfigError(f"{str(file)[:200]}: cannot be written: {reason}", hint="give a file as -o")


def _say(line: str) -> None:
    from bdpl_cli.plaintext import clean

    print(f"bdpl-async: {clean(line)}", file=sys.stderr)
