"""Set-up: asks for what syncd needs, looks at each answer, sets lakeFS up if it is new, and writes the configuration.

``flow`` is the order of it. Whatever instant it is killed at, the next run carries on from what is there.
"""
