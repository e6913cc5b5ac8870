"""One file per reader, each with `start(folder, kind, workers, position)`."""
