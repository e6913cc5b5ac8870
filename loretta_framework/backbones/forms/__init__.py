"""The ways to compute one attention, a file each; `choice` says which, `dispatch` calls it."""
