"""The built-in callbacks: what watches a run."""
