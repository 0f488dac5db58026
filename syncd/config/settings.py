"""The whole configuration as one frozen tree, and the rules that hold between keys.

``syncd.config.load`` fills it from file, environment and credentials. Built directly, it reads nothing but what it
is given, and holds it against the same rules.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from syncd import addresses
from syncd.config import rules
from syncd.config.lakefs_section import LakefsSettings
from syncd.config.lines import Loc
from syncd.config.notify_section import NotifySettings
from syncd.config.sections import (
    GuardSettings,
    PullSettings,
    Section,
    ServiceSettings,
    SnapshotSettings,
    SourceSettings,
    UploadSettings,
)
from syncd.config.tables_section import TableSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    source: SourceSettings
    tables: tuple[TableSettings, ...] = ()
    lakefs: LakefsSettings = Field(default_factory=LakefsSettings)
    snapshot: SnapshotSettings = Field(default_factory=SnapshotSettings)
    guard: GuardSettings = Field(default_factory=GuardSettings)
    upload: UploadSettings = Field(default_factory=UploadSettings)
    service: ServiceSettings = Field(default_factory=ServiceSettings)
    pull: PullSettings = Field(default_factory=PullSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library calls it by these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing by itself: ``load`` names the sources, so that each value's origin is known."""
        return (init_settings,)

    @model_validator(mode="wrap")
    @classmethod
    def _hold_pairs(cls, data: Any, handler: ModelWrapValidatorHandler[Settings]) -> Settings:
        """Report impossible pairs together with the single values' faults, each at its own key."""
        details = [
            InitErrorDetails(type=PydanticCustomError("pair", "{rule}", {"rule": rule}), loc=loc, input=value)
            for loc, rule, value in pair_faults(data)
        ]
        try:
            settings = handler(data)
        except ValidationError as error:
            details += [_again(found) for found in error.errors(include_url=False)]
        if details:
            raise ValidationError.from_exception_data(cls.__name__, details, hide_input=True)
        return settings


def section_fields(section: str) -> dict[str, FieldInfo]:
    """Return the keys of a section; those of one table for "tables"."""
    annotation: Any = Settings.model_fields[section].annotation
    model: type[Section] = TableSettings if section == "tables" else annotation
    return dict(model.model_fields)


def _again(found: Any) -> InitErrorDetails:
    error = PydanticCustomError(found["type"], "{rule}", {"rule": found["msg"]})
    return InitErrorDetails(type=error, loc=found["loc"], input=found["input"])


PairFault = tuple[Loc, str, Any]  # where, which rule, the value there


def pair_faults(data: Any) -> Iterator[PairFault]:
    """Find keys that cannot stand together, in values whose types nobody has checked yet."""
    if not isinstance(data, Mapping):
        return
    tables = data.get("tables")
    if isinstance(tables, (list, tuple)):
        yield from _table_pairs([_mapping(table) for table in tables])
    yield from _lakefs_pairs(_mapping(data.get("lakefs")))
    yield from _folder_pairs(_mapping(data.get("source")), _mapping(data.get("service")))
    yield from _service_pairs(_mapping(data.get("service")))
    yield from _notify_pairs(_mapping(data.get("notify")))


def _notify_pairs(notify: Mapping[str, Any]) -> Iterator[PairFault]:
    for key in ("webhook_secret", "webhook_secret_file"):
        if notify.get(key) and not (notify.get("webhook_url") or notify.get("webhook_url_file")):
            yield ("notify", key), "goes with webhook_url, whose requests it signs", notify[key]
            return


def _service_pairs(service: Mapping[str, Any]) -> Iterator[PairFault]:
    listen = service.get("listen")
    if not isinstance(listen, str) or not listen or service.get("listen_token") or service.get("listen_token_file"):
        return
    with contextlib.suppress(ValueError):  # it is no address; that is said elsewhere
        if not addresses.listen_address(listen).is_loopback:
            yield ("service", "listen"), "other machines reach this address: it needs listen_token_file", listen


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _table_pairs(tables: list[Mapping[str, Any]]) -> Iterator[PairFault]:
    names: set[str] = set()
    for position, table in enumerate(tables):
        at: Loc = ("tables", position)
        name = table.get("name")
        if isinstance(name, str) and name.lower() in names:
            yield (*at, "name"), "another table has this name", name
        elif isinstance(name, str):
            names.add(name.lower())
        yield from _table_source(at, table)
        yield from _table_closure(at, table)


def _table_source(at: Loc, table: Mapping[str, Any]) -> Iterator[PairFault]:
    database = table.get("url") or table.get("url_file")
    if database and table.get("csv"):
        yield (*at, "csv"), "csv and url cannot stand together", table["csv"]
    elif database:
        if bool(table.get("table")) == bool(table.get("query")):
            rule = "table and query cannot stand together" if table.get("table") else "is missing: table, or query"
            yield (*at, "table"), rule, None
    elif not table.get("csv"):
        yield (*at, "csv"), "is missing: the CSV file to publish, or url for a database", None
    for key in () if database else ("table", "query", "channel"):
        if table.get(key):
            yield (*at, key), f"{key} goes with url", None


def _table_closure(at: Loc, table: Mapping[str, Any]) -> Iterator[PairFault]:
    closure = table.get("closure", "off")
    if closure in ("warn", "hold", "exclude") and not table.get("image_column"):
        yield (*at, "closure"), "needs image_column, to know which image belongs to a row", closure


def _lakefs_pairs(lakefs: Mapping[str, Any]) -> Iterator[PairFault]:
    staging, publish = (
        lakefs.get(key, LakefsSettings.model_fields[key].default) for key in ("staging_branch", "publish_branch")
    )
    if staging == publish:
        key = "staging_branch" if "staging_branch" in lakefs else "publish_branch"
        yield ("lakefs", key), "staging_branch and publish_branch must be two branches", lakefs[key]
    embedded = (lakefs.get("endpoint") or rules.EMBEDDED) == rules.EMBEDDED
    given = [key for key in ("access_key_id", "secret_access_key") if lakefs.get(key)]
    if embedded:
        for key in [*given, "s3_endpoint"]:
            if lakefs.get(key):
                rule = "goes with endpoint, which is not set: the embedded server makes its own address and keys"
                yield ("lakefs", key), rule, lakefs[key]
        return
    for key in ("access_key_id", "secret_access_key"):
        if key not in given and not (key == "secret_access_key" and lakefs.get("secret_access_key_file")):
            yield ("lakefs", key), "is missing: the server at endpoint asks for it", None


def _folder_pairs(source: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[PairFault]:
    root = source.get("root")
    state = service.get("state_dir", ServiceSettings.model_fields["state_dir"].default)
    if not isinstance(root, (str, Path)) or not isinstance(state, (str, Path)):
        return
    try:
        images, own = Path(root).resolve(), Path(state).resolve()
    except (OSError, ValueError, RuntimeError):
        return  # what is wrong with it, the path's own rules say
    if own == images or images in own.parents:
        rule = f"must not contain service.state_dir ({own}), or syncd would sync itself: set that to another folder"
        yield ("source", "root"), rule, str(root)
    elif own in images.parents:
        yield ("source", "root"), f"must not lie inside service.state_dir ({own})", str(root)
