"""The section that says which lakeFS server the snapshots go to, and where in it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from syncd.config import rules, values
from syncd.config.sections import Section


class LakefsSettings(Section):
    """The lakeFS server, and where in it the snapshots go."""

    heading = "Where the snapshots go. Without this section syncd runs its own lakeFS server with local storage."

    endpoint: values.Endpoint = Field(
        default=rules.EMBEDDED,
        examples=["http://127.0.0.1:8000"],
        description="Address of the lakeFS server. Left out: LAKECTL_SERVER_ENDPOINT_URL, then ~/.lakectl.yaml (or"
        ' LAKECTL_CONFIG_FILE), else syncd starts a server of its own. "embedded" asks for that one whatever else'
        " is set. `syncd config show` says which it is, and why.",
    )
    s3_endpoint: values.HttpAddress = Field(
        default="", description="Address of the S3 gateway, where it differs from endpoint. Empty: the same."
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        default="path",
        description="How S3 requests name the repository. Every lakeFS server understands path; virtual needs a"
        " domain set up for it.",
    )
    ca_file: values.OptionalPath = Field(
        default=None,
        examples=["/etc/syncd/ca.pem"],
        description="PEM file with the certificate authority of an https server, where the system does not know it.",
    )
    access_key_id: values.AccessKeyId = Field(
        default=None,
        examples=["AKIAIOSFOLQUICKSTART"],
        description="Key id, 3 to 20 characters. First found wins: systemd credential lakefs_access_key_id,"
        " environment, this file, LAKECTL_CREDENTIALS_ACCESS_KEY_ID, ~/.lakectl.yaml.",
    )
    secret_access_key: values.OptionalSecret = Field(
        default=None,
        description="The key's secret, allowed here only if this file is readable by its owner alone. Better:"
        " secret_access_key_file, or the systemd credential lakefs_secret_access_key.",
    )
    secret_access_key_file: values.OptionalPath = Field(
        default=None,
        examples=["/etc/syncd/lakefs-secret"],
        description="File that holds the secret and nothing else, readable by its owner alone (chmod 600); below"
        " /run/secrets and the systemd credentials folder its mode is not looked at.",
    )
    repository: values.Repository = Field(
        default="dataset",
        description="The repository. Created if missing. Set it when one server holds several datasets.",
    )
    storage_namespace: values.StorageNamespace = Field(
        default="",
        description="Where lakeFS stores a repository that syncd creates, such as s3://bucket/photos. Needed only for"
        " that; the embedded server has its own.",
    )
    staging_branch: values.Branch = Field(
        default="syncd-staging",
        description="The branch syncd uploads to. It belongs to this syncd alone: one branch for each.",
    )
    publish_branch: values.Branch = Field(
        default="main", description="The branch snapshots are merged into: what people read."
    )
    lease_seconds: values.Seconds = Field(
        default=60.0,
        ge=1,
        le=values.DAY_SECONDS,
        description="The staging branch has one writer. One that died without a word is followed by another syncd after"
        " this long; one that was stopped, at once.",
    )
    prefix: values.Prefix = Field(
        default="",
        description='Folder on the branch that holds everything of this dataset, such as "photos/"; "photos" means the'
        " same. Set it when one repository holds several datasets.",
    )

    @property
    def embedded(self) -> bool:
        """Whether syncd runs the lakeFS server itself."""
        return self.endpoint == rules.EMBEDDED

    def running_at(self, endpoint: str, access_key_id: str, secret_access_key: str) -> LakefsSettings:
        """Return the same for the embedded server that runs already: it is reached as any other."""
        return self.model_copy(
            update={
                "endpoint": endpoint,
                "access_key_id": access_key_id,
                "secret_access_key": SecretStr(secret_access_key),
                "storage_namespace": self.storage_namespace or f"local://{self.repository}",
            }
        )
