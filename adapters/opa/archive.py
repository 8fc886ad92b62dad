"""A bundle as the one file that OPA loads: a gzipped tar whose bytes depend on the files alone."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping


def archive(files: Mapping[str, bytes]) -> bytes:
    """The `.tar.gz` of a bundle's files by path: in the order of their names, of no time and no owner.

    Stored without compression, whose outcome differs from one zlib to the next."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for path, data in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            out.addfile(entry, io.BytesIO(data))
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=0, fileobj=packed, mtime=0) as pack:
        pack.write(tar.getvalue())
    return packed.getvalue()
