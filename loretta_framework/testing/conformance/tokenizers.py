"""Checks that concern tokenizers."""
