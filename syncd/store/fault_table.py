"""What lakeFS's refusals mean, as tables. ``translate`` reads them; the causes and next steps are what a user sees.

Observed on lakeFS 1.84.0 with both protocols. ``{repository}``, ``{branch}`` and ``{address}`` are filled in.
"""

from __future__ import annotations

from typing import NamedTuple

from syncd.errors import (
    ConflictStoreError,
    NeedsPersonStoreError,
    NotFoundStoreError,
    NothingToCommitError,
    PermanentStoreError,
    StoreError,
    TransientStoreError,
)


class Rule(NamedTuple):
    """What one refusal means."""

    error: type[StoreError]
    cause: str
    next_step: str = ""


_CREDENTIALS = "set lakefs.access_key_id and the secret to a pair that lakectl works with"
_CLOCK = Rule(
    NeedsPersonStoreError,
    "This machine's clock and the server's are more than 15 minutes apart",
    "set the clock (timedatectl set-ntp true) on whichever machine is wrong",
)
_READ_ONLY = Rule(
    NeedsPersonStoreError,
    "The repository is read-only",
    "choose another lakefs.repository, or make this one writable in lakeFS",
)
_PROTECTED = Rule(
    NeedsPersonStoreError,
    "A protection rule of the repository covers the branch {branch}; syncd writes to it and commits on it",
    "lakectl branch-protect list lakefs://{repository}, then narrow the rule or set lakefs.staging_branch",
)
_WRONG_SECRET = Rule(
    NeedsPersonStoreError,
    "The secret access key does not belong to the access key id",
    _CREDENTIALS,
)
_BUSY = Rule(TransientStoreError, "The server is busy")
_FAULTY_ACTION = Rule(
    NeedsPersonStoreError,
    "A file below _lakefs_actions/ on the branch is not a valid action, and lakeFS makes no commit while it is there",
    "lakectl fs ls lakefs://{repository}/{branch}/_lakefs_actions/, then repair or remove it",
)

BY_CODE: dict[str, Rule] = {  # error codes of the S3 protocol
    "NoSuchBucket": Rule(
        NeedsPersonStoreError,
        "The repository or the branch is not there: deleted, renamed, or never made",
        "lakectl branch list lakefs://{repository}",
    ),
    "ErrNoSuchBucketPossibleAPIEndpoint": Rule(
        NeedsPersonStoreError,
        "The address ends in /api/v1, which is the address of another protocol of the same server",
        "take /api/v1 off the end of lakefs.endpoint (or lakefs.s3_endpoint)",
    ),
    "NoSuchKey": Rule(NotFoundStoreError, "There is no such object"),
    "ErrWriteToProtectedBranch": _PROTECTED,
    "ErrReadOnlyRepository": _READ_ONLY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "InvalidAccessKeyId": Rule(NeedsPersonStoreError, "lakeFS does not know the access key id", _CREDENTIALS),
    "AccessDenied": Rule(
        NeedsPersonStoreError,
        "lakeFS does not know the access key id, or its user may not do this",
        _CREDENTIALS,
    ),
    "MissingFields": Rule(
        NeedsPersonStoreError,
        "The access key id has a form lakeFS does not read: it takes 3 to 20 characters",
        _CREDENTIALS,
    ),
    "RequestTimeTooSkewed": _CLOCK,
    "SlowDown": _BUSY,
    "InternalError": Rule(TransientStoreError, "Something went wrong inside the server", "look at the server's log"),
}

BY_WORDS: tuple[tuple[int, str, Rule], ...] = (  # status and words in the message of the lakeFS API
    (400, "no changes", Rule(NothingToCommitError, "There is nothing to commit or to merge")),
    (
        400,
        "dirty branch",
        Rule(
            NeedsPersonStoreError,
            "The branch holds changes that someone staged and did not commit",
            "lakectl diff lakefs://{repository}/{branch}, then commit or reset them",
        ),
    ),
    (
        400,
        "storage namespace already in use",
        Rule(
            NeedsPersonStoreError,
            "Another repository is, or was, kept in that storage namespace; deleting one leaves its objects",
            "set lakefs.storage_namespace to an unused prefix: lakectl repo list shows those in use",
        ),
    ),
    (
        400,
        "invalid namespace",
        Rule(
            NeedsPersonStoreError,
            "The server's storage is of another type than the namespace",
            "set lakefs.storage_namespace to one beginning as the server says",
        ),
    ),
    (
        400,
        "failed to access storage",
        Rule(
            NeedsPersonStoreError,
            "The bucket does not exist, or the lakeFS server may not write to it",
            "create the bucket, or give the server's own role access to it",
        ),
    ),
    (400, "validation error", Rule(PermanentStoreError, "lakeFS does not accept the name")),
    (403, "read-only repository", _READ_ONLY),
    (403, "protected branch", _PROTECTED),
    (
        404,
        "invalid API endpoint",
        Rule(
            NeedsPersonStoreError,
            "The address has a path that lakeFS does not know",
            "set lakefs.endpoint to the server's address without a path",
        ),
    ),
    (404, "prepare-commit hook aborted", Rule(NotFoundStoreError, "There is no branch {branch}")),
    (404, "branch not found", Rule(NotFoundStoreError, "There is no such branch")),
    (404, "repository not found", Rule(NotFoundStoreError, "There is no repository {repository}")),
    (409, "conflict found", Rule(ConflictStoreError, "A branch or a commit has that name, or a merge conflicts")),
    (409, "not unique", Rule(ConflictStoreError, "It exists already")),
    (412, "path already exists", Rule(ConflictStoreError, "It exists already")),
    (500, "invalid action", _FAULTY_ACTION),
    (500, "parsing file _lakefs_actions/", _FAULTY_ACTION),
    (500, "predicate failed", Rule(TransientStoreError, "Someone else changed the branch at the same moment")),
)

BY_STATUS: dict[int, Rule] = {
    400: Rule(PermanentStoreError, ""),
    401: Rule(NeedsPersonStoreError, "lakeFS does not accept the access key id and secret", _CREDENTIALS),
    403: Rule(NeedsPersonStoreError, "The credentials are wrong, or their user may not do this", _CREDENTIALS),
    404: Rule(NotFoundStoreError, ""),
    407: Rule(
        NeedsPersonStoreError,
        "A proxy on the way asks for a password, and syncd speaks to no proxy",
        "let this machine reach {address} directly",
    ),
    408: Rule(TransientStoreError, "The request took too long to arrive"),
    409: Rule(ConflictStoreError, "It conflicts with what is there"),
    410: Rule(PermanentStoreError, "The object's data is gone: garbage collection removed it"),
    412: Rule(
        NeedsPersonStoreError,
        "A hook of the repository refused",
        "lakectl actions runs list lakefs://{repository}, then satisfy or change the hook",
    ),
    413: Rule(
        PermanentStoreError, "The server, or a proxy before it, does not take a body that large", "raise its limit"
    ),
    423: Rule(TransientStoreError, "Someone else is committing on the branch"),
    429: _BUSY,
    500: Rule(TransientStoreError, "Something went wrong inside the server", "look at the server's log"),
    501: Rule(PermanentStoreError, "This server does not offer that"),
    503: _BUSY,
}
