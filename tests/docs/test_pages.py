"""The Python on every page of the site runs."""

import ast
import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "scripts" / "docs"
PAGES = sorted(SOURCES.rglob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """Returns the Python blocks of a page, padded so that line numbers are those of the page."""
    text = page.read_text()
    return ["\n" * text[: found.start(1)].count("\n") + found[1] for found in BLOCK.finditer(text)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem
)
def test_python_of_a_page_runs(page: Path):
    """The blocks of a page share their names, from top to bottom."""
    names: dict[str, object] = {}
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_imports_the_modules_that_it_uses(page: Path):
    """``import flaxnoise`` does not import these; another page in the same process may have."""
    nodes = [node for block in blocks(page) for node in ast.walk(ast.parse(block))]
    used = {
        f"flaxnoise.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "flaxnoise"
    } & {"flaxnoise.linen", "flaxnoise.nnx", "flaxnoise.optax", "flaxnoise.testing"}
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert used <= {".".join(name.split(".")[:2]) for name in imported}


def test_every_guide_has_code_or_says_why_not():
    without = {page.stem for page in PAGES if page.parent.name == "guides" and not blocks(page)}
    assert without <= {"limits", "speed"}
