"""flaxnoise.testing works with layers of any library: it imports neither flax nor optax."""

import subprocess
import sys


def test_flax_is_not_imported():
    program = "import sys, flaxnoise.testing; print(*sorted({'flax', 'optax'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
