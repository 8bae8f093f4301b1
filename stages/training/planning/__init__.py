"""The plan of a training run: what it needs of which GPUs, before any of them is rented."""
