"""Stands for util-linux's Python module, which Debian does not have: as much of it as crun's tests use."""
import re


class FS:
    def __init__(self, line: str) -> None:
        mount, _, file_system = line.rstrip("\n").partition(" - ")
        fields = mount.split(" ")
        self.target = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4])
        self.vfs_options = fields[5]
        self.fs_options = file_system.split(" ")[2]


class Table:
    """Reads a file in the form of /proc/PID/mountinfo (proc(5))."""

    def __init__(self, path: str) -> None:
        with open(path, encoding="utf-8") as file:
            self.mounts = [FS(line) for line in file if " - " in line]

    def find_target(self, path: str) -> FS | None:
        return next((mount for mount in reversed(self.mounts) if mount.target == path), None)
