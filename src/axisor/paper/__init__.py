"""The paper exchange: the LN Markets wire protocol over a simulated market, a server of its own."""
