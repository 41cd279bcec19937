"""The LN Markets adapter: REST v3 and stream v1 behind the exchange and feed ports."""
