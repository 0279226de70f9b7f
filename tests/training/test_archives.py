"""NumPy's archives that somebody gives, altered in every way that was found to matter."""

import io
import random
import zipfile

import numpy as np
import pytest

from gptoss.training.archives import opened

DAMAGED = "the file is cut or damaged"
ARRAYS = {"steps": np.arange(40), "kept": np.arange(6.0).reshape(2, 3)}


def archive():
    buffer = io.BytesIO()
    np.savez(buffer, **ARRAYS)
    return buffer.getvalue()


def read(data):
    with opened(io.BytesIO(data), "the file") as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_an_entry_that_says_it_is_encrypted_is_damage():
    data = bytearray(archive())
    place = data.index(b"PK\x01\x02")  # the directory's first entry, whose flags stand 8 bytes on
    data[place + 8] |= 1
    data[6] |= 1
    with pytest.raises(ValueError, match=DAMAGED):
        read(bytes(data))


def test_an_array_larger_than_any_memory_is_damage():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**58,)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("steps.npy", header.getvalue())
    with pytest.raises(ValueError, match=DAMAGED):
        read(buffer.getvalue())


def test_random_damage_is_refused_or_changes_nothing_that_is_read():
    whole, chance = archive(), random.Random(1)
    for _ in range(400):
        data = bytearray(whole[:chance.randrange(len(whole))] if chance.random() < 0.2 else whole)
        for _ in range(chance.choice((1, 2, 8)) if data else 0):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            found = read(bytes(data))
        except ValueError as refused:
            assert DAMAGED in str(refused)
        else:
            assert all(np.array_equal(values, ARRAYS[name]) for name, values in found.items() if name in ARRAYS)
