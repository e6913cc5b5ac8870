"""`image.vq`: a small convolutional codec that is trained on the recipe's own images."""
