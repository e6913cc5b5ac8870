"""Samples shown to a person, in the terminal or on a page."""
