"""Writes complete packages for plugins of one's own."""
