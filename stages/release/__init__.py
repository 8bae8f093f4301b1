"""What leaves the house: export formats and their checks, the model card, the chat, the report."""
