"""Which snapshots outlive lakeFS's garbage collection: pins made, removed, and held against the history."""
