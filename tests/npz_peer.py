"""Python's zipfile as the other side of tests/test_npz.c.

  npz_peer.py write DIR    writes archives as numpy.savez, savez_compressed and others do
  npz_peer.py read FILE    checks an archive and prints its members: name, type, shape, elements
"""

import ast
import io
import pathlib
import struct
import sys
import zipfile

WEIGHT, STEPS, BIAS = [0.0, 1.0, 2.0, 3.0, 4.0, -5.5], [7], [0.25] * 300


def npy(descr, letter, shape, values):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}{letter}", *values)


MEMBERS = [("block/conv.weight", npy("<f4", "f", (2, 3), WEIGHT)), ("steps", npy("<i8", "q", (), STEPS)), ("bias", npy("<f8", "d", (300,), BIAS))]


class Stream(io.RawIOBase):
    """A file that cannot seek: sizes and checksums stand behind the members then."""

    def __init__(self, path):
        super().__init__()
        self.file = open(path, "wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)

    def close(self):
        self.file.close()
        super().close()


def write(folder):
    def archive(name, method=zipfile.ZIP_STORED, zip64=False, comment=b"", stream=False, folders=False):
        target = Stream(folder / name) if stream else folder / name
        with zipfile.ZipFile(target, "w", method) as z:
            z.comment = comment
            if folders:
                z.writestr("block/", b"")
            for member, data in MEMBERS:
                with z.open(zipfile.ZipInfo(member + ".npy") if stream else member + ".npy", "w", force_zip64=zip64) as file:
                    file.write(data)
        if stream:
            target.close()

    archive("stored.npz")
    archive("savez.npz", zip64=True)
    archive("compressed.npz", zipfile.ZIP_DEFLATED, zip64=True)
    archive("streamed.npz", stream=True)
    archive("streamed64.npz", stream=True, zip64=True)
    archive("commented.npz", comment=b"PK\x05\x06 a comment" * 3)
    archive("folders.npz", folders=True)


def read(path):
    with zipfile.ZipFile(path) as z:
        assert z.testzip() is None
        for info in z.infolist():
            data = z.read(info)
            length = struct.unpack("<H", data[8:10])[0]
            header = ast.literal_eval(data[10:10 + length].decode())
            letter = {"<f2": "e", "<f4": "f", "<f8": "d"}[header["descr"]]
            count = (len(data) - 10 - length) // struct.calcsize(letter)
            values = struct.unpack(f"<{count}{letter}", data[10 + length:])
            print(info.filename, info.date_time[:3], header["descr"], header["shape"], *values)


{"write": write, "read": read}[sys.argv[1]](pathlib.Path(sys.argv[2]))
