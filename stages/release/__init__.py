"""What leaves the project: formats, parity checks, the model card."""
