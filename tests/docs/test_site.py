"""The site documents every public name, its search finds them, and it shows formulas."""

import functools
import http.server
import inspect
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
import flaxnoise.optax
import flaxnoise.testing

MODULES = (
    flaxnoise,
    flaxnoise.linen,
    flaxnoise.nnx,
    flaxnoise.optax,
    flaxnoise.random,
    flaxnoise.testing,
)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# Disables Chromium's own network traffic.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=10000",
)


def public_names() -> set[str]:
    """Returns all public names, such as flaxnoise.dropout, re-exported or defined in the module."""
    return {
        f"{module.__name__}.{name}"
        for module in MODULES
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and (hasattr(module, "__path__") or value.__module__ == module.__name__)
    }


def documented(site: Path) -> set[str]:
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    return {name for kind, items in inventory.items() if kind.startswith("py:") for name in items}


def test_the_reference_names_everything_public(site: Path):
    names = public_names()
    assert len(names) > 100
    assert names <= documented(site)


def test_formulas_are_set_as_mathematics(site: Path):
    text = (site / "reference" / "functions.html").read_text()
    assert '<div class="math"><math xmlns="http://www.w3.org/1998/Math/MathML"' in text
    assert "y = x·keep/P(keep)" not in text


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Serves the site on the local host and returns its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
@pytest.mark.parametrize(("word", "page"), [("gaussian_noise", "reference/functions.html")])
def test_a_browser_finds_a_function_through_the_search(
    address: str, tmp_path: Path, word: str, page: str
):
    browse = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    found = subprocess.run(
        [*browse, "--dump-dom", f"{address}/search.html?q={word}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert f'href="{page}#flaxnoise.{word}"' in found.stdout
    picture = tmp_path / "page.png"
    subprocess.run(
        [*browse, f"--screenshot={picture}", f"{address}/{page}"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000  # a page with text, not a blank one
