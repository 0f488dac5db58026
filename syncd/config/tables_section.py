"""The section that describes one table: where its rows come from, how it is published, how it goes with the images."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from syncd.config import values
from syncd.config.sections import Section


class TableSettings(Section):
    """One table that describes the images; repeat the section for more."""

    heading = "A table that describes the images. Repeat the section for more tables."

    name: values.TableName = Field(
        examples=["labels"],
        description="The table's name: it is published as tables/NAME.csv, or below tables/NAME/. Letters, digits, _"
        " and -.",
    )
    csv: values.OptionalPath = Field(
        default=None,
        examples=["/srv/labels.csv"],
        description="The CSV file. Published byte for byte once it is whole and settled, or as Parquet (format).",
    )
    url: values.OptionalSecret = Field(
        default=None,
        examples=["postgresql://reader@db.example.com/photos"],
        description="A database, instead of csv: postgresql://, mysql://, mariadb:// or sqlite:///FILE. syncd only"
        " reads it. A password may stand here only if this file is readable by its owner alone; better: url_file, or"
        " ~/.pgpass.",
    )
    url_file: values.OptionalPath = Field(
        default=None,
        examples=["/etc/syncd/labels-url"],
        description="File that holds the url and nothing else, readable by its owner alone (chmod 600); below"
        " /run/secrets and the systemd credentials folder its mode is not looked at.",
    )
    table: values.OptionalText = Field(
        default=None, examples=["public.labels"], description="With url: the table or view to publish, whole."
    )
    query: values.OptionalText = Field(
        default=None,
        examples=["SELECT id, image, label FROM labels WHERE NOT draft"],
        description="With url, instead of table: one SELECT. Its rows are what is published.",
    )
    key: values.Column = Field(
        examples=["id"], description="The column whose value names a row. Each value may stand once, and never be NULL."
    )
    format: Literal["auto", "parquet", "csv"] = Field(
        default="auto",
        description="How a database table is published: parquet in parts, of which a change rewrites few, or csv, one"
        " text file. auto: parquet for a database; a CSV file as it is.",
    )
    image_column: values.OptionalColumn = Field(
        default=None,
        examples=["image"],
        description="The column that holds each row's image as a path relative to source.root. Leave it out for a"
        " table without images.",
    )
    image_prefix: str = Field(
        default="",
        examples=["/srv/images/"],
        description="What stands before that path in image_column, and is taken off, such as the folder or a URL.",
    )
    image_pattern: values.ImagePattern = Field(
        default="",
        examples=["https://cdn\\.example\\.com/[^/]+/(?P<path>.+)"],
        description="A regular expression that finds the path in image_column, as its group (?P<path>…) or its first"
        " group; for values that a prefix is not enough for.",
    )
    closure: Literal["off", "warn", "hold", "exclude"] = Field(
        default="warn",
        description="What to do when rows and images do not fit together. off: nothing. warn: publish, count and list"
        " it in tables/NAME/_closure.json. hold: publish nothing new until they fit. exclude: publish only what fits;"
        " a row without its image, and an image without a row, come back by themselves once the other half is there. A"
        " CSV file is published in the order of its keys then. Always off without image_column.",
    )
    closure_wait_seconds: values.Seconds = Field(
        default=600.0,
        ge=0,
        le=30 * values.DAY_SECONDS,
        description="How long closure = hold waits for the missing half before it tells someone.",
    )
    poll_seconds: values.Seconds = Field(
        default=10.0,
        gt=0,
        le=values.DAY_SECONDS,
        description="The table is looked at this often, besides when an event tells of a change. Lower it if a"
        " table on a network file system must be in sooner.",
    )
    channel: values.OptionalText = Field(
        default=None,
        examples=["syncd_labels"],
        description="With a PostgreSQL url: a NOTIFY channel that tells of changes before the next poll. `syncd table"
        " triggers NAME` prints the SQL that makes the database notify.",
    )
    statement_timeout_seconds: values.Seconds = Field(
        default=300.0,
        gt=0,
        le=values.DAY_SECONDS,
        description="With url: how long one read may take. Raise it for a table of many millions of rows.",
    )

    @model_validator(mode="before")
    @classmethod
    def _closure_needs_images(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("image_column") and "closure" not in data:
            return {**data, "closure": "off"}
        return data

    @property
    def published_as_csv(self) -> bool:
        """Whether the table is one text file, tables/NAME.csv."""
        return self.format == "csv" or (self.format == "auto" and self.csv is not None)
