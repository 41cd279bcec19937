"""People: who they are, how they sign in, and the sessions and tickets that prove it."""
