"""From tokens to weights: model presets, data order, the loop, checkpoints."""
