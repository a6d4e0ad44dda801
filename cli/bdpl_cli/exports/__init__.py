"""The learned prompt for other tools: one module a format, each from `Learned` to a document."""
