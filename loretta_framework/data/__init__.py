"""Samples with missing parts, their order, mixing and loading, as pure functions of a position."""
