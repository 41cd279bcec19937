"""The command line: argument parsing only; everything else is behind bootstrap."""
