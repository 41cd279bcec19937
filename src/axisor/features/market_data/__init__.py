"""Prices and bars: recorded each second, served to charts."""
