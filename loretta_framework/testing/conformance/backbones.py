"""Checks that concern backbones."""
