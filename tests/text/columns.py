"""The names of columns that tests of rows have in common: those of params.yaml."""

from stages.text.tables import Columns

COLUMNS = Columns(
    messages="messages",
    prompt=("prompt",),
    completion="completion",
    chosen="chosen",
    rejected="rejected",
    text="text",
    label="label",
    tokens="tokens",
    tags="tags",
)
