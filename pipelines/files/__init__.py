"""Bytes on any file system: whole files, parts of them, members of archives, large JSON and CSV by pieces."""
