"""Which documents are kept: scores, limits, word lists, classifiers, and what is replaced in the text."""
