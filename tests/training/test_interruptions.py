"""A run that was killed resumes with the losses of an uninterrupted run."""

import os
import signal
from pathlib import Path
from typing import Any

from processes import SECONDS, TRAIN, started, train

STEPS = 8

# Is killed when the checkpoint of step 4 is written, before it is renamed to its final name.
KILLED_WHILE_SAVING = """
import os, runpy, signal, sys
script, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = script
for name in ("rename", "replace"):
    def dying(source, target, *args, real=getattr(os, name), **kwargs):
        if os.path.basename(target) == "4":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(source, target, *args, **kwargs)
    setattr(os, name, dying)
runpy.run_path(script, run_name="__main__")
"""


def test_killed_between_two_steps(tmp_path: Path, uninterrupted: dict[str, Any]):
    """Saved after step 4, killed after 5: steps 5 to 8 have exactly the uninterrupted losses."""
    folder = tmp_path / "checkpoints"
    saving = ["--checkpoint", folder, "--save-every", 4]
    with started([[TRAIN, "--devices", 4, "--steps", 1000, *saving]]) as (process,):
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("step 5 "):
                os.kill(process.pid, signal.SIGKILL)
                break
        process.wait(timeout=SECONDS)
        assert process.returncode == -signal.SIGKILL, "".join(lines)

    resumed = train(tmp_path / "losses.json", "--devices", 4, "--steps", STEPS, *saving)
    assert resumed["first"] == 4
    assert resumed["losses"] == uninterrupted["losses"][4:]


def test_killed_while_saving(tmp_path: Path, uninterrupted: dict[str, Any]):
    """The previous checkpoint is used."""
    saving = ["--checkpoint", tmp_path / "checkpoints", "--save-every", 2]
    arguments = ["--devices", 4, "--steps", STEPS, *saving]
    with started([["-c", KILLED_WHILE_SAVING, TRAIN, *arguments]]) as (process,):
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL, output
    assert "step 4 " not in output
    resumed = train(tmp_path / "losses.json", *arguments)
    assert resumed["first"] == 2
    assert resumed["losses"] == uninterrupted["losses"][2:]
