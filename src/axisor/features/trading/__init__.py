"""Trades as their owner sees them, and what the owner asks to be done with them."""
