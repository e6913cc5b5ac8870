"""Reading samples beside webdataset, megatron-energon and mosaicml-streaming."""
