"""HTTP, one module per resource, each with its own ``routes``."""
