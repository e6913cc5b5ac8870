"""Parity and speed on one CUDA device; see `benchmarks.gpu.__main__` for how to run it."""
