"""Documents that share text: exact and near-duplicates, repeated passages, overlap with evaluation texts."""
