#!/bin/sh
# veneer poststop hook of the wrapping runtime: takes down what one container used.
#
# Arguments: the record, the rewritten config.json, the directory of an ephemeral upper (or an empty word), for a
# root that is mounted on the host its mount point (or an empty word), and the directory of a named instance, whose
# upper is in parts when it was rebased while it ran: those are merged in the background. Emptying the record says that the instance is free
# and costs no process; the rest is deleted out of the way, so that the container's end takes the same time for
# any upper. A kill in between leaves it to `veneer gc`.
#
# Somebody has to read what the runtime writes to stdin, however late: crun would die of SIGPIPE.
[ -s "$1" ] || exec cat >/dev/null
exec 3<&0
[ -z "$4" ] || umount -l -- "$4"
: >"$1"
# the terminal of a container in the foreground may close now
trap '' HUP INT QUIT
(
  [ -z "$3" ] || rm -rf --one-file-system -- "$3"
  rm -f -- "$2" "$1"
  for parts in "$5"/[0-9]*/parts; do
    [ -n "$5" ] && [ -d "$parts" ] || break
    "${0%/*}/veneer" --root "${5%/instances/*}" --run "${1%/records/*}" internal merge "${5##*/}" 3<&- &
    break
  done
  exec cat <&3
) </dev/null >/dev/null 2>&1 &
