"""What lies in an account beside its positions: invoices that raise its free balance."""
