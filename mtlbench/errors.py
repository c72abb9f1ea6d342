"""The errors that users meet: each says what must hold, what came, and where."""


class MtlbenchError(Exception):
    """Base of the errors that end a command with one clear line and `exit_code`."""

    exit_code = 1


class StudyError(MtlbenchError, ValueError):
    """A study file or an argument is wrong; the message carries the dotted key."""

    exit_code = 2


class DataError(MtlbenchError, ValueError):
    """Data are wrong; the message carries the file and, where there is one, the row."""

    exit_code = 4


class BusyError(MtlbenchError, RuntimeError):
    """Another driver holds this study; the message names its pid and host."""

    exit_code = 1


class DiskError(MtlbenchError, OSError):
    """The disk is full or cannot be written; what was being computed goes on once it can."""

    exit_code = 1
