"""The one exception for mistakes that are the user's to mend."""


class UserError(Exception):
    """Bad input: one clear sentence that names the file, record, key or flag at fault. Tools print it and exit 1."""
