"""Exchange accounts of a person, and their sealed keys."""
