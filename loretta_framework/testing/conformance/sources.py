"""Checks that concern sources."""
