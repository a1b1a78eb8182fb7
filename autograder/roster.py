"""Who handed in what and when: the ``submission_metadata.yml`` of Gradescope's export.

    submission_123:
      :submitters:
      - :name: Ada Lovelace
        :sid: '0815'
        :email: ada@example.org
      :created_at: 2026-11-29 20:54:16.284080000 Z

There is more in it, which is not needed here. It is a help and no more: where it is missing, or broken, or
says something else than expected, columns stay empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from .results import one_line

FILE = "submission_metadata.yml"
# Of YAML this reads the structure alone, and all values as text: a student number 0815 stays as it is, and
# Ruby's tags make nothing. In C, where PyYAML has that: a class's file holds all of its feedback, too.
LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True)
class Student:
    """Someone who handed in; what is not known is empty."""

    name: str = ""
    email: str = ""
    number: str = ""


@dataclass(frozen=True)
class Entry:
    """What is known of a submission.

    Attributes:
        students: whose it is; at least one, of whom nothing may be known.
        created_at: when it was handed in, if that is known.
    """

    students: tuple[Student, ...] = (Student(),)
    created_at: datetime | None = None


@dataclass(frozen=True)
class Roster:
    """What is known of all submissions, by the names of their folders, and why that is not more."""

    entries: dict[str, Entry] = field(default_factory=dict)
    problem: str = ""


def read_roster(folder: Path) -> Roster:
    """Return what the metadata in a folder says; nothing if it has none."""
    path = folder / FILE
    if not path.exists():
        return Roster()
    try:
        content = yaml.load(path.read_bytes(), LOADER)
        if not isinstance(content, dict):
            raise ValueError(f"expected submissions by their names, got {content!r:.60}")
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = one_line(str(error))[:300]
        return Roster(problem=f"{path} can't be read, so nobody's name is known: {reason}")
    return Roster({one_line(str(name)): entry_of(value) for name, value in content.items()})


def entry_of(value: Any) -> Entry:
    """Return what the metadata say of a submission, as far as they can be understood."""
    submitters = field_of(value, "submitters")
    if not isinstance(submitters, list):
        submitters = [submitters]
    students = [
        Student(*(text_of(field_of(submitter, key)) for key in ("name", "email", "sid")))
        for submitter in submitters
    ]
    created_at = field_of(value, "created_at")
    if isinstance(created_at, dict):  # as Ruby writes a time with its time zone
        created_at = created_at.get("utc")
    return Entry(tuple(students) or Entry.students, moment_of(text_of(created_at)))


def field_of(value: Any, key: str) -> Any:
    """Return a field, whose key is a symbol of Ruby's, or plain text; None if there is none."""
    return value.get(f":{key}", value.get(key)) if isinstance(value, dict) else None


def text_of(value: Any) -> str:
    """Return a text on one line; empty if it is none."""
    return one_line(value) if isinstance(value, str) else ""


def moment_of(text: str) -> datetime | None:
    """Return the time that a text such as "2026-11-29 20:54:16.28 Z" is in YAML; None if it is none."""
    try:
        value = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
