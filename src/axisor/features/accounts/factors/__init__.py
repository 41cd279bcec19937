"""The ways to prove who one is, beside a password."""
