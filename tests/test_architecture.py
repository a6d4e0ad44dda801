"""The directions of the arrows, and the sizes of things, read from the source by `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "bdpl_async": ROOT / "bdpl_async",
    "bdpl_providers": ROOT / "providers" / "bdpl_providers",
    "bdpl_cli": ROOT / "cli" / "bdpl_cli",
}
FORBIDDEN = {
    "bdpl_async": {"bdpl_providers", "bdpl_cli", "aiohttp", "httpx", "openai", "torch"}
    | {"transformers", "rich", "typer", "cyclopts", "textual"},
    "bdpl_providers": {"bdpl_cli", "rich", "typer", "cyclopts", "textual"},
}
HEAVY = (
    {"torch", "transformers", "safetensors", "tokenizers"}
    | {"openai", "tiktoken"}
    | {"genai_prices"}
    | {"ray", "redis", "opentelemetry", "prometheus_client"}
)
TOO_LONG = 30  # lines of a body after its docstring
FILE_LINES = 320

MODULES = {
    ".".join([package, *file.relative_to(folder).with_suffix("").parts]).removesuffix(
        ".__init__"
    ): file
    for package, folder in FOLDERS.items()
    for file in sorted(folder.rglob("*.py"))
}
each_module = pytest.mark.parametrize("module", MODULES)


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def statements(node: ast.AST, *, everywhere: bool) -> Iterator[ast.AST]:
    """All nodes, or those that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not everywhere and (function or is_type_checking(child)):
            continue
        yield child
        yield from statements(child, everywhere=everywhere)


def imported(module: str, *, everywhere: bool) -> set[str]:
    """Full names of what `module` imports; of ours, the modules that hold the names."""
    found: set[str] = set()
    for node in statements(tree_of(module), everywhere=everywhere):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            origin = node.module or ""
            inner = {f"{origin}.{alias.name}" for alias in node.names} & set(MODULES)
            found.update(inner or {origin})
    return found


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the end."""
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        first = function.body[1] if len(function.body) > 1 else first
    return (function.end_lineno or 0) - first.lineno + 1


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@each_module
def test_arrows_point_one_way(module: str) -> None:
    """cli -> providers -> bdpl_async, never back; the engine knows no HTTP, torch or terminal."""
    forbidden = FORBIDDEN.get(module.partition(".")[0], set())
    assert not tops(imported(module, everywhere=True)) & forbidden


@each_module
def test_heavy_libraries_are_imported_where_they_are_used(module: str) -> None:
    """Importing a module of ours takes no second: what is heavy is imported inside functions."""
    assert not tops(imported(module, everywhere=False)) & HEAVY


def test_there_are_no_import_cycles() -> None:
    """Modules can be imported in an order in which each finds all it needs complete."""
    waiting = {
        module: {name for name in imported(module, everywhere=False) if name in MODULES} - {module}
        for module in MODULES
    }
    while ready := [module for module, needs in waiting.items() if not needs & set(waiting)]:
        for module in ready:
            del waiting[module]
    assert waiting == {}


@each_module
def test_every_module_says_what_it_is(module: str) -> None:
    """Each has a docstring that ends its first sentence."""
    described = ast.get_docstring(tree_of(module)) or ""
    assert len(described.split()) >= 3
    assert "." in described or ":" in described


@each_module
def test_functions_and_files_stay_small(module: str) -> None:
    """No function is longer than a screen, no file longer than one sitting."""
    long = [
        f"{node.name}: {length} lines"
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := body_lines(node)) > TOO_LONG
    ]
    assert long == []
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= FILE_LINES


@each_module
def test_nothing_pickles(module: str) -> None:
    """No file of ours can run code when it is read: neither pickle nor its cousins are used."""
    names = tops(imported(module, everywhere=True))
    assert not names & {"pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib"}
    assert not names & {"_pickle", "copyreg", "multiprocessing"}  # send by pickle
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert ast.unparse(node.value) == "False"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "compile", "__import__"}
            told = {word.arg for word in node.keywords}
            if called in {"torch.load", "torch.hub.load"}:
                assert "weights_only" in told
            if called in {"np.load", "numpy.load"}:
                assert "allow_pickle" in told
            if called.endswith(".from_pretrained") and "Model" in called:
                assert "use_safetensors" in told


def test_the_readers_of_the_source_see_what_they_should() -> None:
    """The helpers above find imports in functions and at the top, and leave type-only ones out."""
    assert len(MODULES) > 30
    assert "bdpl_async.budget" in imported("bdpl_async.gate", everywhere=False)
    assert "importlib" in tops(imported("bdpl_async", everywhere=False))
    assert "bdpl_async.budget" not in imported("bdpl_async", everywhere=False)
    assert "bdpl_async.budget" in imported("bdpl_async", everywhere=True)
    assert "tomli_w" not in imported("bdpl_async.config", everywhere=False)
    assert "tomli_w" in imported("bdpl_async.config", everywhere=True)
