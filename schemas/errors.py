"""The exception tree: everything a user can cause, and nothing else.

    WordTreeError                 one line, exit code 2
    ├── InputError                a file or folder is missing, empty or cannot be read
    ├── FormatError               a file does not follow its format (file, line, found, expected)
    ├── RecordError               one record is bad; carries a `reason` and goes to the rejects
    ├── LabelError                a class that no label map or tree knows
    ├── TreeError                 a tree breaks an invariant, or two trees were mixed up
    ├── ConfigError               an option or a configuration value is wrong
    ├── OutputError               an output exists already, or is incomplete
    └── CheckpointError           a checkpoint is missing, or belongs to another tree or network

Every message says what was found, where, what was expected and what to do. Any other exception that reaches the
command line is a bug and shows its traceback.
"""

from __future__ import annotations


class WordTreeError(Exception):
    """Base of all errors that a user can cause and can mend."""


class InputError(WordTreeError):
    """A file or folder is missing, empty or cannot be read."""


class FormatError(WordTreeError):
    """A file does not follow its format."""


class RecordError(WordTreeError):
    """One record is bad: the run goes on and the record goes to the rejects.

    Attributes:
        reason: a short fixed word such as `image_truncated`; the rejects are counted by it.
        found: what stood in the record, as text.
    """

    def __init__(self, reason: str, message: str, *, found: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.found = found

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_record_error, (self.reason, str(self), self.found)


def _rebuild_record_error(reason: str, message: str, found: str) -> RecordError:
    return RecordError(reason, message, found=found)


class LabelError(WordTreeError):
    """A class that no label map or tree knows."""


class TreeError(WordTreeError):
    """A tree breaks an invariant, or two trees were mixed up."""


class ConfigError(WordTreeError):
    """An option or a configuration value is wrong."""


class OutputError(WordTreeError):
    """An output exists already, or is incomplete."""


class CheckpointError(WordTreeError):
    """A checkpoint is missing, or belongs to another tree or network."""
