"""A real lakeFS server for people who have none: find or build the binary, run it, stop it.

``binary`` finds ``lakefs`` or has ``build`` compile it once from the Go module pinned in ``go.mod`` and ``go.sum``;
``server`` runs it for asyncio code, ``process`` for everything else.
"""
