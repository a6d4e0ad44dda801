"""What a person sees: the command ``bdpl-async``."""
