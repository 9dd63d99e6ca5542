"""Settings that must precede the import of jax: the CPU, as eight devices. The option --cases."""

import os

import pytest

import every

os.environ.setdefault("JAX_PLATFORMS", "cpu")

_DEVICES = "--xla_force_host_platform_device_count"
if _DEVICES not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}=8".strip()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", metavar="REGEX", help="run only tests and cases of matching names")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    every.deselect(config, items)
