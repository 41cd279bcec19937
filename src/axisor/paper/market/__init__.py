"""Models of the market that the paper exchange plays: price paths, order book ladder, funding.

Pure and deterministic for a seed. Binary floating point is allowed here and nowhere near a balance: these modules
invent prices, and every price leaves them as a whole number of half-dollars. Only operations that IEEE 754 defines
exactly are used (no sine, no logarithm), so that a seed gives the same path on every machine.
"""
