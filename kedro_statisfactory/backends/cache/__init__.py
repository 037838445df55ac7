"""Copies, on this machine, of what was loaded from services or saved there, so that the same bytes do not travel twice.

A copy is a file in a folder that this user alone may enter. Its name says of what it is a copy and what it must be
like, so that it appears whole, by one call of the file system, and nothing else has to agree with it.
"""

from kedro_statisfactory.backends.cache.copies import ContentCache
from kedro_statisfactory.backends.cache.names import Copy, Key

__all__ = ["ContentCache", "Copy", "Key"]
