"""A folder that one process works in."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bdpl_async.errors import ConfigError
from bdpl_async.saving.claim import Claim


def test_who_comes_second_is_refused(tmp_path: Path) -> None:
    """Until the first is done, and by name."""
    folder = tmp_path / "deep" / "out"
    first = Claim(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(ConfigError, match="out: another process works there"):
        Claim(folder)
    first.close()
    Claim(folder).close()


@pytest.mark.parametrize("name", ["file", "file/below", "nul\0byte", "x" * 300])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, name: str) -> None:
    """As a mistake of configuration, whatever the file system says."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Claim(tmp_path / name)
