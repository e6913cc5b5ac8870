"""`image.timm`: the networks of the timm library as inputs of a model."""
