"""Stands for a runtime: gives the container of `create`, `run` and `restore` a base of the files of its bundle, then executes the
wrapping runtime. with-base.py WRAPPER VENEER STORE RUN ARGUMENTS…
"""
import hashlib
import json
import os
import subprocess
import sys

wrapper, veneer, store, run, *arguments = sys.argv[1:]


def value(*names: str) -> str | None:
    for index, word in enumerate(arguments):
        for name in names:
            if word == name and index + 1 < len(arguments):
                return arguments[index + 1]
            if word.startswith(f"{name}="):
                return word[len(name) + 1 :]
    return None


def prepare() -> None:
    if not {"create", "run", "restore"} & set(arguments):
        return
    bundle = value("-b", "--bundle") or "."
    file = (value("-f", "--config") if "crun" in wrapper else None) or os.path.join(bundle, "config.json")
    try:
        with open(file, encoding="utf-8") as opened:
            config = json.load(opened)
        root = os.path.realpath(os.path.join(bundle, config["root"]["path"]))
        kind = os.stat(root)
    except (OSError, ValueError, KeyError, TypeError):
        return  # the runtime says what is wrong with it
    name = "b" + hashlib.sha256(f"{root} {kind.st_ino}".encode()).hexdigest()[:20]
    if not os.path.exists(f"{store}/bases/{name}"):
        subprocess.run(
            [veneer, "--root", store, "--run", run, "base", "import", name, root, "--in-place"],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    annotations = config.get("annotations") or {}
    if annotations.get("run.veneer.base") == name:
        return
    config["annotations"] = {**annotations, "run.veneer.base": name, "run.veneer.opaque": "none"}
    with open(file, "w", encoding="utf-8") as opened:
        json.dump(config, opened)


prepare()
os.execv(wrapper, [wrapper, *arguments])
