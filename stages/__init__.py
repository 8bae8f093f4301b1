"""Headwater's stages: one module per DVC stage, each built on the rooms beside it."""
