"""Web archives and the HTTP messages in them, read within bounds."""
