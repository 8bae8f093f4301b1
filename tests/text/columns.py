"""The names of columns that tests of rows have in common: those of params.yaml."""

from stages.text.tables import Columns

COLUMNS = Columns(
    messages="messages",
    prompt=("prompt",),
    completion="completion",
    text="text",
    label="label",
    tokens="tokens",
    tags="tags",
)
