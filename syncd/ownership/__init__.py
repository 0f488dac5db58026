"""The staging branch is one syncd's own: how it takes it, knows what is on it, and notices who else was there."""
