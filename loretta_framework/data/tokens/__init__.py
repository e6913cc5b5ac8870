"""The token cache: tokens of the training sets made once, and read instead of the files."""
