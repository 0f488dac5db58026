"""Tables as sources: read from a database in one consistent piece, published in parts bounded by key range."""
