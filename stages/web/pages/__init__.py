"""From the bytes of a page to its text: encoding, main content, structure, title, date, language."""
