"""Flash attention with dropout as Pallas kernels for TPUs."""
