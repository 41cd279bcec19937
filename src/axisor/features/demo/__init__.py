"""The demonstration: a guarded account and its unguarded twin in a market that waits for the first page."""
