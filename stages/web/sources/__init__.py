"""Where pages come from: one module for each source, and what they share."""
