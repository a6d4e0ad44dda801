"""Leave to send: rates, windows and what refusals teach."""
