"""One file per contestant, each with `work(spec, rounds)`; see `serve`.

A contestant's file runs under the python of its own environment, so it imports nothing of this
project but `benchmarks.rounds`, `benchmarks.tokens` and what lies beside it here; `ours*` may import
the framework.
"""
