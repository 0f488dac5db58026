"""Tells others what happens to the dataset: a webhook, a command, a ping. Whatever becomes of that, the sync goes on.

What is not told when the process ends is never told: the next start looks with fresh eyes. What is wrong then is told
again, and snapshots are in the history.
"""
