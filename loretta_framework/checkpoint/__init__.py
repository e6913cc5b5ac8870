"""The run directory and what is saved in it: whole or not at all, and verified before use."""
