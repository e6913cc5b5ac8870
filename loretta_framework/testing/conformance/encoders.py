"""Checks that concern encoders."""
