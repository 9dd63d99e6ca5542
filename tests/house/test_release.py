"""scripts/release.sh refuses a release unless tag, version and changelog agree."""

import shutil
import subprocess
from pathlib import Path

import pytest

import flaxnoise

ROOT = Path(__file__).resolve().parents[2]
VERSION = flaxnoise.__version__

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(tree: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=tree, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with the files that release.sh reads, committed and tagged."""
    for name in ("scripts/release.sh", "flaxnoise/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} (2030-01-31)\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    git(tmp_path, "tag", f"v{VERSION}")
    return tmp_path


def check(tree: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", "scripts/release.sh", "--check"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def test_a_clean_tag_is_released(tree: Path):
    assert check(tree).returncode == 0


def test_a_change_that_is_not_committed_is_refused(tree: Path):
    (tree / "CHANGELOG.md").write_text("")
    assert "not committed" in check(tree).stderr


def test_another_version_than_the_tag_is_refused(tree: Path):
    git(tree, "tag", "-d", f"v{VERSION}")
    git(tree, "tag", "v0.0.0")
    assert f"must have the tag v{VERSION}" in check(tree).stderr


def test_a_changelog_without_the_date_is_refused(tree: Path):
    (tree / "CHANGELOG.md").write_text(f"## {VERSION} (unreleased)\n")
    git(tree, "commit", "-qam", "undated")
    git(tree, "tag", "-f", f"v{VERSION}")
    assert "CHANGELOG.md must have the section" in check(tree).stderr
