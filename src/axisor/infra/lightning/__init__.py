"""Lightning invoices and Bitcoin addresses as text: encoded, decoded, signed and verified without a socket."""
