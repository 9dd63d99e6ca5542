"""The formula as a Pallas kernel for TPUs."""
