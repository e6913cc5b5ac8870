"""Faults of a recipe's data: what cannot be decoded, what is declared otherwise, what leaks."""
