"""The embedded log, and what Faust needs to run on it."""
