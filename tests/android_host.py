"""Lets TensorFlow Lite's Android libraries for 64 bits run under a desktop's C library.

They take few functions of Android's C library, and most are the same in glibc. So a copy is made in
which symbols have no versions (bionic's are not glibc's) and the few names that mean something else
are changed; ``bionic_stand_in/libc.c`` has those.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

_LIBRARY = "libtensorflowlite_jni.so"
_STAND_IN = Path(__file__).parent / "bionic_stand_in" / "libc.c"

#: Names that mean something else in glibc → those of the stand-in, of equal length. A name that
#: another ends with may share its bytes in the table of strings: the longer one comes first.
_RENAMED = {
    "vfprintf": "vbprintf",
    "fprintf": "bprintf",
    "fputc": "bputc",
    "fwrite": "bwrite",
    "fflush": "bflush",
    "sysconf": "bysconf",
    "newlocale": "bewlocale",
    "dlsym": "blsym",
    "posix_memalign": "posix_bemalign",
    "memalign": "bemalign",
}
_PT_DYNAMIC = 2
_DT_STRTAB, _DT_STRSZ = 5, 10
# VERSYM, VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM; and a tag that no loader knows.
_VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)
_IGNORED = 0x6FFFFEF0


def prepare(archive: Path, inside: str, folder: Path, *, compiler: str | None = None) -> None:
    """Puts a library and its stand-ins into a folder, to be named in ``LD_LIBRARY_PATH``.

    Skips the test where there is no C compiler.

    Args:
      archive: an AAR or APK. inside: the folder in it that holds the library of one processor.
      compiler: of that processor; by default this machine's.
    """
    compiler = compiler or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler to run TensorFlow Lite's Android library here")
    with zipfile.ZipFile(archive) as opened:
        (folder / _LIBRARY).write_bytes(without_bionic(opened.read(f"{inside}/{_LIBRARY}")))
    for name, source in (
        ("libc.so", _STAND_IN),
        *((f"lib{n}.so", None) for n in ("m", "dl", "log")),
    ):
        command = [compiler, "-O1", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", folder / name]
        # Android's mathematics are glibc's; the other two are in its libc or in the stand-in.
        command += [source] if source else ["-x", "c", "/dev/null", "-Wl,--no-as-needed", "-lm"]
        subprocess.run(command, check=True)


def without_bionic(library: bytes) -> bytes:
    """A copy of an ELF library of 64 bits without versions of symbols and with names changed."""
    data = bytearray(library)
    (headers,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    at = next(
        header
        for header in range(headers, headers + size * count, size)
        if struct.unpack_from("<I", data, header) == (_PT_DYNAMIC,)
    )
    (start,), (length,) = (struct.unpack_from("<Q", data, at + place) for place in (8, 32))
    values = {}
    for entry in range(start, start + length, 16):
        tag, value = struct.unpack_from("<QQ", data, entry)
        values.setdefault(tag, value)
        if tag in _VERSIONS:
            struct.pack_into("<Q", data, entry, _IGNORED)
    # The table of strings lies in the first segment, where addresses are places in the file.
    first, end = values[_DT_STRTAB], values[_DT_STRTAB] + values[_DT_STRSZ]
    for name, changed in _RENAMED.items():
        for found in re.finditer(rb"(?<=\0)" + name.encode() + rb"\0", bytes(data[first:end])):
            begin = first + found.start()
            data[begin : begin + len(name)] = changed.encode()
    return bytes(data)
