"""The control interface: makes accounts, moves the market, injects faults, opens the books."""
