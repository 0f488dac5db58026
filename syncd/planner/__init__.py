"""What to do next, and why: pure decisions over facts and a time. No clock, no I/O, no async."""
