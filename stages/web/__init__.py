"""From pages to documents: WARC, HTML, language, rules, personal data, near-duplicates."""
