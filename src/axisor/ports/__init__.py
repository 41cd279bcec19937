"""What the core needs of the outside world, as Protocols and plain values."""
