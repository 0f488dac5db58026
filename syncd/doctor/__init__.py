"""Diagnosis: what may keep syncd from its work, found by trying, each with the fix to paste.

Each module looks at one subject and gives findings; ``checks`` puts them together, ``examination`` runs them.
"""
