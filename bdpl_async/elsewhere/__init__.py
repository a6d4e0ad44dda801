"""Runs on other machines, by way of Ray: each the same as here, bit for bit."""
