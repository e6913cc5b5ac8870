"""Shared fixtures: one thread per process, and a small model over three modalities."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # bit-for-bit and golden figures are those of a CPU
