"""The lakeFS side: objects through the S3 gateway, branches, commits, merges and tags through the API."""
