"""Checks that concern evaluators."""
