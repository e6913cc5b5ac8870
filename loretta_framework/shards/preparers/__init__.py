"""Data sets that `loretta data prepare` knows how to build, one module each."""
