"""Checks that concern decoders."""
