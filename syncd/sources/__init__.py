"""What the world looks like: sources turn a folder and tables into observations, never into work."""
