"""Settings: from the environment (`HOTLINE_WATCH_…`), then one TOML file, then the defaults. Unknown names and bad values refuse to start,
and no error or log line ever shows a value.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from alerting.directory import DeliveryFiles
from rules.matter import MatterConfig
from rules.pseudonym import PseudonymKey
from streams.failpoints import arm
from streams.kafka_settings import KafkaSettings
from streams.topics import TopicSet

PREFIX = "HOTLINE_WATCH_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
REPEAT_SLACK_DAYS = 30
"""by which complaints are kept for longer than they are counted together: some come late"""


class SettingsError(ValueError):
    """Settings that cannot be taken: names where and what, never a value."""


class PseudonymKeySettings(BaseModel):
    """One secret of the citizens' pseudonyms: in a file, in an environment variable, or in a settings file that only its owner can read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,16}$")]
    secret_file: Path | None = None
    secret_env: str | None = None
    secret: SecretStr | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "PseudonymKeySettings":
        if sum(source is not None for source in (self.secret_file, self.secret_env, self.secret)) != 1:
            raise ValueError("give exactly one of secret_file, secret_env and secret")
        return self

    def load(self) -> PseudonymKey:
        """Return the key with its secret. Raises SettingsError."""
        where = f"pseudonym key {self.id}"
        if self.secret_file is not None:
            try:
                secret = self.secret_file.read_bytes().strip()
            except OSError as error:
                raise SettingsError(f"{where}: secret_file cannot be read: {error.strerror}") from None
        elif self.secret_env is not None:
            secret = os.environ.get(self.secret_env, "").encode()
            if not secret:
                raise SettingsError(f"{where}: the environment variable that secret_env names is not set")
        else:
            assert self.secret is not None
            secret = self.secret.get_secret_value().encode()
        try:
            return PseudonymKey(self.id, secret)
        except ValueError as error:
            raise SettingsError(f"{where}: {error}") from None


class MatterSettings(BaseModel):
    """When two complaints of one citizen are about the same matter; see docs/same-matter.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low_floor: Annotated[float, Field(ge=0, le=1)] = MatterConfig.low_floor
    high_floor: Annotated[float, Field(ge=0, le=1)] = MatterConfig.high_floor
    window_days: Annotated[int, Field(ge=1, le=3650)] = MatterConfig.window_days

    def config(self) -> MatterConfig:
        """Return what the core takes."""
        return MatterConfig(self.low_floor, self.high_floor, self.window_days)


class Settings(KafkaSettings, BaseSettings):
    """Everything that can be set. Each name is also an environment variable: HOTLINE_WATCH_BOOTSTRAP_SERVERS and so on."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,128}$")] = Field(
        "", description="stands before every topic's name; keeps installations apart on one cluster"
    )
    partitions: Annotated[int, Field(ge=1, le=1000)] = Field(
        8, description="partitions of every topic; fixed once topics exist"
    )
    replication: Annotated[int, Field(ge=1, le=9)] = Field(1, description="copies of every partition; 3 on a cluster")
    data_dir: Path = Field(Path("data"), description="where a process keeps its tables; each process its own")
    core_time: Literal["wall", "recorded"] = Field(
        "wall", description="wall: a timer ticks; recorded: `hotline-watch tick --at TIME` does"
    )
    tick_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        1.0, description="how often the timer looks for deadlines that are due"
    )
    allowed_lateness_days: Annotated[int | None, Field(ge=1, le=36_500)] = Field(
        None,
        description="an event that is older than its partition's time by more goes to quarantine; left out: none does",
    )
    keep_closed_days: Annotated[int | None, Field(ge=1, le=36_500)] = Field(
        None,
        description="a ticket that is over goes once it is silent for longer, and what dispatch keeps of a case; left out: none",
    )
    keep_complaints_days: Annotated[int | None, Field(ge=1, le=36_500)] = Field(
        None, description="complaints further apart are not compared, and older ones go; left out: none does"
    )
    rules_dir: Path | None = Field(None, description="a folder of rules in place of the default pack")
    calendar_file: Path | None = Field(
        None, description="years of work days that the library does not know yet: see deploy/calendar.example.yaml"
    )
    limits_file: Path | None = Field(
        None, description="the city's time limits, where events carry none: see deploy/limits.example.yaml"
    )
    posts_file: Path | None = Field(
        None, description="posts whose accusers bypass the platform (sealed): see deploy/posts.example.yaml"
    )
    subscribers_file: Path | None = Field(None, description="who gets warnings; without it dispatch refuses to start")
    units_file: Path | None = Field(
        None, description="the unit registry (YAML or CSV); without a sound one every warning is held, never sent"
    )
    routing_file: Path | None = Field(None, description="the routing tree in place of the default one")
    suppression_file: Path | None = Field(None, description="what inhibits what, in place of the default")
    silences_file: Path | None = Field(None, description="silences, kept by `hotline-watch silences`")
    secrets_dir: Path | None = Field(
        None, description="where new secrets are written; default: secrets/ beside the subscribers file"
    )
    api_clients_file: Path | None = Field(None, description="who may use the HTTP API, and as what")
    api_host: str = Field("127.0.0.1", description="where the HTTP API is served")
    api_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="its port; 0 = any free port, printed at start"
    )
    pseudonym_keys: tuple[PseudonymKeySettings, ...] = Field(
        (), description="secrets of the citizens' pseudonyms, the current one first"
    )
    matter: MatterSettings = Field(MatterSettings(), description="when two complaints are about the same matter")
    http_host: str = Field("127.0.0.1", description="where /metrics, /healthz and /readyz are served")
    http_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="their port; 0 = any free port, printed at start"
    )
    session_timeout_seconds: Annotated[float, Field(ge=1, le=300)] = Field(
        6.0, description="after this silence a dead worker's partitions move"
    )
    commit_interval_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        1.0, description="how often offsets are committed"
    )
    stall_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        60.0, description="no progress for so long, with work waiting, is unhealthy"
    )
    retry_scale: Annotated[float, Field(gt=0, le=10)] = Field(
        1.0, description="stretches the delivery retry schedule; below 1 for trials"
    )
    drill_every_hours: Annotated[float | None, Field(gt=0, le=24 * 31)] = Field(
        None,
        description="`up`: so often a marked drill ticket goes the whole way, see `hotline-watch drill`; left out: never",
    )
    drill_subscriber: str | None = Field(
        None, description="which subscriber is called in a drill; without it the way ends at dispatch's decision"
    )
    broker_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="`up`: the embedded broker's port; 0 = any free port"
    )
    broker_jars: Path | None = Field(
        None, description="`up`: a folder with Kafka's jars, where they cannot be downloaded"
    )
    failpoint: str = Field("", description="for fault tests alone: where the process kills itself")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="what is logged, as JSON lines on standard error"
    )

    @model_validator(mode="after")
    def _kept_long_enough(self) -> "Settings":
        window = self.matter.window_days
        if self.keep_closed_days is not None and self.keep_closed_days < max(self.allowed_lateness_days or 0, window):
            raise ValueError(
                "keep_closed_days must be at least allowed_lateness_days, or what is late but allowed would find its ticket "
                f"gone; and at least the {window} days within which complaints are counted (matter.window_days)"
            )
        if self.keep_complaints_days is not None and self.keep_complaints_days < window + REPEAT_SLACK_DAYS:
            raise ValueError(
                f"keep_complaints_days must be at least {window + REPEAT_SLACK_DAYS}: the {window} days within which complaints "
                f"are counted (matter.window_days), and {REPEAT_SLACK_DAYS} for those that come late"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file: `load_settings` passes the file's values as init values."""
        return env_settings, init_settings

    @property
    def topics(self) -> TopicSet:
        """Return the installation's topics."""
        return TopicSet(prefix=self.topic_prefix, partitions=self.partitions, replication=self.replication)

    def own_broker(self) -> str | None:
        """Return where the broker of `up` is: whoever sets its port need not say it again as an address."""
        return f"127.0.0.1:{self.broker_port}" if self.broker_port else None

    def delivery_files(self) -> DeliveryFiles:
        """Return where delivery's files are. Raises SettingsError where no subscribers file is set."""
        if self.subscribers_file is None:
            raise SettingsError("setting subscribers_file: say who gets warnings; docs/subscribers.md shows how")
        return DeliveryFiles(
            self.subscribers_file, self.units_file, self.routing_file, self.suppression_file, self.silences_file
        )

    def make_data_dir(self) -> Path:
        """Make the data directory where it is missing, for the owner alone; return it. Raises SettingsError."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"setting data_dir: {self.data_dir} cannot be made: {error.strerror}") from None
        return self.data_dir

    def arm_failpoint(self) -> None:
        """Arm the failpoint that is set, in this process. Raises SettingsError."""
        try:
            arm(self.failpoint)
        except ValueError as error:
            raise SettingsError(f"setting failpoint: {error}") from None

    def load_keys(self) -> list[PseudonymKey]:
        """Return the pseudonym keys, the current one first. Raises SettingsError."""
        return [key.load() for key in self.pseudonym_keys]


def load_settings(config: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings. Raises SettingsError for an unknown name, a bad value or a file that cannot be taken."""
    environment = os.environ if environment is None else environment
    if config is None and environment.get(CONFIG_VARIABLE):
        config = Path(environment[CONFIG_VARIABLE])
    _refuse_unknown(environment)
    values = _read_toml(config) if config is not None else {}
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        told = f"setting {name}: {_told(first)}" if name else f"settings: {_told(first)}"
        raise SettingsError(told + _source(name.partition(".")[0], environment, config, values)) from None
    except ValueError as error:
        # pydantic-settings says which variable it could not parse; its cause would show the value.
        raise SettingsError(str(error).splitlines()[0]) from None


def load_file(config: Path) -> Settings:
    """Return the settings that one file makes, whatever the environment says: of an installation that is not this process's.

    Raises SettingsError.
    """
    try:
        return _OfFile(**_read_toml(config))
    except ValidationError as error:
        raise SettingsError(f"{config}: {_told(error.errors(include_url=False, include_input=False)[0])}") from None


class _OfFile(Settings):
    """Settings without the environment's."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _told(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f"there is no such setting; there are {', '.join(Settings.model_fields)}"
    field = Settings.model_fields.get(str(error["loc"][0])) if len(error["loc"]) == 1 else None
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{said}; {field.description}" if field is not None and field.description else said


def _source(name: str, environment: Mapping[str, str], config: Path | None, values: Mapping[str, Any]) -> str:
    """Return where a setting's value comes from; nothing where it has none, or where several settings are at odds."""
    variable = f"{PREFIX}{name}".upper()
    for found in environment:
        if found.upper().partition("__")[0] == variable:
            return f" (from the environment variable {found})"
    return f" (from {config})" if name in values else ""


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {CONFIG_VARIABLE}
    nested = {f"{PREFIX}MATTER"}
    for name in environment:
        if name.startswith(f"{PREFIX}SECRET_"):
            continue  # a secret of the operator's own, named by secret_env or in the subscribers file
        setting, below, _ = name.upper().partition("__")
        if name.upper().startswith(PREFIX) and (setting not in known or (below and setting not in nested)):
            raise SettingsError(
                f"the environment variable {name} names no setting; secrets are called {PREFIX}SECRET_…"
            )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        mode = path.stat().st_mode
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = str(error).rpartition("(at ")[2].rstrip(")") if "(at " in str(error) else "somewhere"
        raise SettingsError(f"{path} is not TOML: wrong at {line}") from None
    for name in Settings.model_fields:
        if isinstance(values.get(name), bool):  # it would be taken for 1 or 0
            raise SettingsError(f"setting {name}: neither true nor false is a value of it")
    keys = values.get("pseudonym_keys", [])
    inline = any(isinstance(key, dict) and "secret" in key for key in keys) if isinstance(keys, list) else False
    if inline and mode & (stat.S_IRGRP | stat.S_IROTH):
        raise SettingsError(f"{path} holds a secret and others can read it: chmod 600, or use secret_file")
    return _placed(values, path.absolute().parent)


def _placed(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a file's values with its relative paths below the folder that it is in: it means the same wherever it is used from."""

    def placed(value: Any) -> Any:
        return str(folder / value) if isinstance(value, str) else value

    found = {
        name: placed(value)
        if name in Settings.model_fields and _is_path(Settings.model_fields[name].annotation)
        else value
        for name, value in values.items()
    }
    keys = found.get("pseudonym_keys")
    if isinstance(keys, list):
        found["pseudonym_keys"] = [
            {**key, "secret_file": placed(key["secret_file"])}
            if isinstance(key, dict) and "secret_file" in key
            else key
            for key in keys
        ]
    return found


def _is_path(annotation: Any) -> bool:
    return annotation is Path or Path in get_args(annotation)
