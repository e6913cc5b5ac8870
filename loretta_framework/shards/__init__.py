"""The format on disk: tar shards, their index, reading by offset and writing. Torch-free."""
