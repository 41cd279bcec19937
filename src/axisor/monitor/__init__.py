"""The `monitor` role: watches prices and positions, decides, and is the only sender of commands."""
