"""The formula as a Pallas kernel for NVIDIA GPUs."""
