"""Shards at URLs: allowed schemes, fetching, and the bounded local cache."""
