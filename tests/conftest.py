"""Settings that must precede the import of jax: the CPU, as eight devices."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

_DEVICES = "--xla_force_host_platform_device_count"
if _DEVICES not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}=8".strip()
