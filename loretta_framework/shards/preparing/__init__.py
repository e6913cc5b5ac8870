"""What all preparations share: options, sources, downloads, the common ending and the data card."""
