"""A folder that is written aside and renamed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Replacing:
    """`with Replacing(folder) as aside`: fill `aside`; it takes the folder's place when the block ends well.
    The old folder stays until then, and for good if the block fails."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.aside = folder, folder.with_name(folder.name + ".aside")

    def __enter__(self) -> Path:
        shutil.rmtree(self.aside, ignore_errors=True)
        self.aside.mkdir(parents=True)
        return self.aside

    def __exit__(self, failed: object, *_: object) -> None:
        if failed:
            shutil.rmtree(self.aside, ignore_errors=True)
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(self.aside, self.folder)
