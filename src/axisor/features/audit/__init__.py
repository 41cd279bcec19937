"""Who did what: a chain of hashes that shows every later change."""
