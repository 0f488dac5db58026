"""`syncd demo`: the main job on real images, told step by step and checked from outside.

``play`` runs it: ``place`` is the folder it happens in, ``digits`` and ``script`` make and change the data, ``daemon``
is the `syncd run` that watches, ``witness`` reads the snapshots back without syncd.
"""
