"""Every fault of a shard, not only the first."""
