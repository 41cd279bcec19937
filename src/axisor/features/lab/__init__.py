"""Lab: what history says about a rule."""
