"""Checks that concern objectives."""
