"""Instruction counts: read from callgrind's files, compared, and counted with valgrind."""

import json
import os
import shutil
from pathlib import Path

import pytest

from bench import guard
from every import every

# The first and last lines of a file that callgrind 3.19 wrote for the driver.
RECORDED = """# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4242
cmd:  driver avx2 dropout:float32:262144
part: 1

desc: I1 cache:
desc: Trigger: --dump-after=measured

positions: line
events: Ir
summary: 946824


ob=(1) driver
fl=(1) ???
fn=(1) measured
0 7
cfn=(2) flaxnoise::run(flaxnoise::Job const&, flaxnoise::Target const&, long, long)
calls=1 0
0 946817

totals: 946824
"""


def test_instructions_are_read():
    assert guard.total(RECORDED) == 946824
    assert guard.total(RECORDED.replace("totals: 946824\n", "")) == 946824


@every(
    "text",
    ["", RECORDED.replace("events: Ir", "events: Ir Dr"), RECORDED.replace("946824", "")],
)
def test_other_files_are_refused(text: str):
    with pytest.raises(ValueError, match=r"callgrind|invalid literal"):
        guard.total(text)


def test_more_instructions_are_a_regression():
    stored = {"a": 10.0, "b": 10.0, "c": 10.0}
    now = {"a": 10.1, "b": 10.3, "c": 9.0, "d": 1.0}
    assert guard.regressions(now, stored) == [
        "b: 10.30 instructions an element, 10.00 stored",
        "d: 1.00 instructions an element, and none stored",
    ]


@pytest.mark.parametrize("gone", ["valgrind", "c++"])
def test_what_is_not_installed_is_named(gone: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CXX", raising=False)
    which = {"valgrind": "/valgrind", "c++": "/c++", gone: None}
    monkeypatch.setattr(shutil, "which", which.get)
    with pytest.raises(SystemExit) as stopped:
        guard.main([])
    assert gone in str(stopped.value)
    assert "nothing was counted" in str(stopped.value)


def test_exit_code_tells_regressions_and_unknown_compilers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "counts.json"
    options = ["--stored", str(path)]
    monkeypatch.setattr(guard, "count", lambda: ("cc 1", {"avx2:dropout:float32": 4.0}))
    with pytest.raises(SystemExit, match="no counts are stored for cc 1, but for: none"):
        guard.main(options)
    guard.main([*options, "--store"])
    guard.main(options)
    monkeypatch.setattr(guard, "count", lambda: ("cc 1", {"avx2:dropout:float32": 4.2}))
    with pytest.raises(SystemExit, match="more instructions than before"):
        guard.main(options)
    assert json.loads(path.read_text()) == {"cc 1": {"avx2:dropout:float32": 4.0}}


def test_stored_counts_are_of_all_works():
    stored = json.loads(guard.STORED.read_text())
    assert stored
    for counts in stored.values():
        assert {name.split(":", 1)[1] for name in counts} == set(guard.WORKS)


def test_the_driver_is_built_with_the_flags_of_the_kernel():
    text = (guard.CPP / "CMakeLists.txt").read_text()
    assert {"-O3", "-ffp-contract=fast"} <= set(guard.options(text))
    assert set(guard.simd_flags(text)) >= set(guard.TARGETS[os.uname().machine])


def test_counts_do_not_depend_on_the_run(tmp_path: Path):
    valgrind, compiler = shutil.which("valgrind"), shutil.which("c++")
    if valgrind is None or compiler is None:
        pytest.skip(f"valgrind is {valgrind or 'not installed'}, c++ {compiler or 'neither'}")
    driver = guard.build(compiler, tmp_path)
    target = guard.TARGETS[os.uname().machine][0]
    works = [f"dropout:float32:{count}" for count in (4096, 4096, 8192)]
    works.append("gaussian_noise:float32:4096")
    one, same, twice, normal = guard.run(valgrind, driver, target, works, tmp_path)
    assert one == same
    assert 1.8 < twice / one < 2.0  # less than twice, as a call has a fixed cost
    assert normal > 2 * one
