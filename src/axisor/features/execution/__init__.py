"""The one way to the exchange: intents, attempts, outcomes, budgets and the decision ledger."""
