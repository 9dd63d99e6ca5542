"""A training run in one process, with which the others are compared."""

import sys
from typing import Any

import pytest

from processes import TRAIN, train

sys.path.insert(0, str(TRAIN.parent))
pytest.importorskip("sklearn", reason="scikit-learn, whose digits are learned, is not installed")

STEPS = 8


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    losses = tmp_path_factory.mktemp("uninterrupted") / "losses.json"
    return train(losses, "--devices", 4, "--steps", STEPS)
