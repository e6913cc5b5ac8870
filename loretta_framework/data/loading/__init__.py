"""Processes that load steps ahead, and what travels between them."""
