"""The directory of a training run: looked at before the first step, written so that a crash leaves the last good files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gptoss.checkpoint.config_file import CONFIG_NAME
from gptoss.checkpoint.files import replace_files
from gptoss.checkpoint.reader import INDEX_NAME
from gptoss.training.storage import HISTORY, STATE, VOCABULARY
from gptoss.units import size

RECORDING = "recording.npz"
_OURS = {CONFIG_NAME, INDEX_NAME, VOCABULARY, HISTORY, STATE, RECORDING}
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")


@dataclass(frozen=True)
class RunDirectory:
    """Where one run's model, history, state and recording are."""

    path: Path

    def prepare(self, resume: bool, overwrite: bool, bytes_to_come: int) -> None:
        """Make the directory, and make sure that all of the run can be written there without loss of anything else.

        Raises `ValueError` in one sentence: where a run is there already and neither `resume` nor `overwrite` was asked for,
        where files of the same names are there that no run of ours wrote, where it cannot be written to, or where the disk
        has no room for `bytes_to_come`.
        """
        try:
            if self.path.exists() and not self.path.is_dir():
                raise ValueError(f"--out {self.path} is a file, where a directory belongs")
            self._require_ours(resume, overwrite)
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise ValueError(f"--out {self.path} cannot be written to: {error.strerror}") from None
        if free < bytes_to_come:
            raise ValueError(f"--out {self.path} has {size(free)} free, and this run writes {size(bytes_to_come)}")

    def read_state(self) -> bytes:
        """The bytes to go on from. Raises `ValueError` where there are none."""
        if not (self.path / STATE).is_file():  # whoever opens a pipe waits for ever
            raise ValueError("there is no such file")
        try:
            return (self.path / STATE).read_bytes()
        except OSError as error:
            raise ValueError(f"it cannot be read: {error.strerror}") from None

    def write(self, name: str, data: bytes) -> None:
        """Put a file in its place, whole or not at all. Raises `OSError` that names it; the one that was there still is."""
        try:
            replace_files(self.path, {name: partial(_write_through, data)})
        except OSError as error:  # a full disk's names no file
            raise OSError(error.errno, error.strerror, str(self.path / name)) from None

    def _require_ours(self, resume: bool, overwrite: bool) -> None:
        present = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        begun = sorted(present & {STATE, HISTORY})
        foreign = sorted(name for name in present if (name.endswith(".safetensors") and not _WEIGHTS.fullmatch(name))
                         or (not begun and (name in _OURS or _WEIGHTS.fullmatch(name))))
        if foreign:
            raise ValueError(f"--out {self.path} holds {foreign[0]}, which no run wrote that could be gone on with or "
                             "replaced; choose another directory")
        if begun and not (resume or overwrite):
            raise ValueError(f"--out {self.path} already holds a run ({begun[0]}); go on with it by --resume, or replace it "
                             "by --overwrite")


def _write_through(data: bytes, path: Path) -> None:
    """Write a file down to the disk, so that a full one is noticed now."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
