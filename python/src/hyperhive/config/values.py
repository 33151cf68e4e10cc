"""The kinds of value a declaration is made of, each refused with a remedy.

Every check here looks at one value alone, so it runs whatever else is wrong; what relates two
values to each other is in ``checks``. Nothing is coerced: a number in quotes is a fault, so that
JSON, TOML and Nix mean the same. No check touches the file system, because the machine that checks
a declaration (a Nix build) need not be the one that runs it.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

REFUSED: Final = "refused"
"""The type of a pydantic error whose context carries our own ``message`` and ``remedy``."""

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_FORGE_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MEMORY: Final = re.compile(r"[1-9][0-9]{0,14}[KMGT]?")
_OURS: Final = "HYPERHIVE_"


class Table(BaseModel):
    """One table of the declaration: frozen, no unknown keys, camelCase outside, snake_case here."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


def refusal(message: str, remedy: str) -> PydanticCustomError:
    """Make the error of a value that is refused, with its remedy."""
    return PydanticCustomError(
        REFUSED, "{message} {remedy}", {"message": message, "remedy": remedy}
    )


def _host_path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    if not text:
        raise refusal("The path is empty.", "Write a path, or remove the key.")
    if not text.isprintable():
        raise refusal(
            "The path has a line break or another unprintable character.",
            "Write the path of a file or directory.",
        )
    if text.startswith("~"):
        raise refusal(
            "A tilde is not expanded, because the hive runs as a user of its own.",
            "Write the whole path, beginning with a slash.",
        )
    base = (info.context or {}).get("base")
    return Path(text) if base is None else Path(base) / text


def _secret_path(value: object) -> object:
    text = str(value)
    if isinstance(value, str) and not text.startswith(("/", "./", "../")):
        raise refusal(
            "This is not a path; a secret itself never stands in the declaration.",
            "Put the secret into a file that only the hive can read, and write the file's path, "
            "beginning with /, ./ or ../ .",
        )
    if text.startswith("/nix/store/"):
        raise refusal(
            "Every user of the host can read the Nix store.",
            "Write the path as a string, not as a Nix path, and keep the file outside the store.",
        )
    return value


def _box_path(value: Path) -> Path:
    if not value.is_absolute() or ".." in value.parts or value == Path("/"):
        raise refusal(
            "A mount point is an absolute path inside the box, without `..`.",
            "Write a path such as /data/models.",
        )
    return value


def _title(value: str) -> str:
    if not value.isprintable() or value != value.strip() or not 1 <= len(value) <= 64:
        raise refusal(
            "A hive's name is one line of 1 to 64 characters, without blanks around it.",
            "Write a short name, such as hive.",
        )
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise refusal("The text has a NUL character.", "Remove it: no program can be given one.")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise refusal(
            "A variable's name is letters, digits and underscores, not beginning with a digit.",
            "Rename it, as in BUILD_MODE.",
        )
    if value.startswith(_OURS) or value == "HOME":
        raise refusal(
            f"The hive itself sets HOME and every variable that begins with {_OURS}.",
            "Remove it or choose another name.",
        )
    return value


def _file_name(value: str) -> str:
    if not _FILE_NAME.fullmatch(value):
        raise refusal(
            "A name here is letters, digits, `_`, `-` and `.`, not beginning with `.` or `-`.",
            "Rename it, as in ANTHROPIC_API_KEY.",
        )
    return value


def _forge_name(value: str) -> str:
    if not _FORGE_NAME.fullmatch(value) or len(value) > 40:
        raise refusal(
            "A name on the forge is 1 to 40 letters, digits, `.`, `_` and `-`, and begins and ends "
            "with a letter or digit.",
            "Rename it, as in org-shared.",
        )
    return value


def _address(value: str) -> str:
    if value != "localhost":
        try:
            ip_address(value)
        except ValueError:
            raise refusal(
                "This is not an IP address.", "Write 127.0.0.1, ::1 or an address of this host."
            ) from None
    return value


def _host_name(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise refusal(
            "A host name has no scheme, no port, no path and no wildcard.",
            "Write the name alone, as in hive.example.org.",
        )
    return value.lower()


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@]+(/[^\s@]*)?", value):
        raise refusal(
            "This is not an http or https address without a user in it.",
            "Write an address such as http://127.0.0.1:3000.",
        )
    return value


def _memory(value: str) -> str:
    if not _MEMORY.fullmatch(value):
        raise refusal(
            "An amount of memory is a whole number of bytes, or one with K, M, G or T.",
            'Write an amount such as "2G".',
        )
    return value


HostPath = Annotated[Path, BeforeValidator(_host_path)]
"""A path on the host; a relative one starts from the declaration's own directory."""

SecretPath = Annotated[Path, BeforeValidator(_host_path), BeforeValidator(_secret_path)]
"""A path of a file that holds a secret. What is plainly no path is refused and never shown."""

BoxPath = Annotated[Path, AfterValidator(_box_path)]
Title = Annotated[str, AfterValidator(_title)]
Text = Annotated[str, AfterValidator(_no_nul)]
Word = Annotated[str, Field(min_length=1), AfterValidator(_no_nul)]
Variable = Annotated[str, AfterValidator(_variable)]
FileName = Annotated[str, AfterValidator(_file_name)]
ForgeName = Annotated[str, AfterValidator(_forge_name)]
Address = Annotated[str, AfterValidator(_address)]
HostName = Annotated[str, AfterValidator(_host_name)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Memory = Annotated[str, AfterValidator(_memory)]

Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict(), Field(ge=0, le=1_000_000)]
Count = Annotated[int, Strict(), Field(ge=1, le=1_000_000)]
Days = Annotated[int, Strict(), Field(ge=1, le=36_500)]
Port = Annotated[int, Strict(), Field(ge=0, le=65_535)]
Bytes = Annotated[int, Strict(), Field(ge=1, le=1_048_576)]
Seconds = Annotated[float, Strict(), Field(gt=0, le=86_400, allow_inf_nan=False)]
Wait = Annotated[float, Strict(), Field(ge=0, le=86_400, allow_inf_nan=False)]
Cores = Annotated[float, Strict(), Field(gt=0, le=4_096, allow_inf_nan=False)]
Dollars = Annotated[float, Strict(), Field(gt=0, le=1_000_000, allow_inf_nan=False)]
