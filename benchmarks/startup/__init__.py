"""How long the first answer of a command takes."""
