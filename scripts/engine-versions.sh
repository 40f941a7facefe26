#!/bin/sh
# Prints which engines are installed, a line each: the first line of what they say about themselves.
for command in "runc --version" "crun --version" "criu --version" "podman --version" "docker --version" \
  "dockerd --version" "containerd --version" "lxc-start --version" "skopeo --version"; do
  name=${command%% *}
  if command -v "$name" >/dev/null; then
    printf '%s: %s\n' "$name" "$($command 2>&1 | head -n 1)"
  else
    printf '%s: not installed\n' "$name"
  fi
done
printf 'kernel: %s\n' "$(uname -r)"
