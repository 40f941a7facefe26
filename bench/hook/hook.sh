#!/bin/sh
# hook.sh STORE RUN BASE, the container's state on stdin: what `veneer hook oci` does at createRuntime, as a
# shell script with jq, nsenter, mount and setfattr would do it.
set -e
store=$1 run=$2 base=$3
state=$(cat)
eval "$(printf %s "$state" | jq -r '@sh "id=\(.id) pid=\(.pid) bundle=\(.bundle)"')"
root=$(jq -r .root.path "$bundle/config.json")
case $root in
/*) ;;
*) root=$bundle/$root ;;
esac
version=$(jq -r .current "$store/bases/$base/base.json")
lower=$(jq -r '[.layers[].path] | join(":")' "$store/bases/$base/versions/$version.json")

upper=$(mktemp -d "$store/ephemeral/XXXXXXXXXXXX")
read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ started _ <"/proc/$pid/stat"
printf '{"container":"%s","pid":%s,"startTime":%s,"upper":"%s"}\n' "$id" "$pid" "$started" "$upper" \
  >"$run/records/$id.json.new"
mv "$run/records/$id.json.new" "$run/records/$id.json"
mkdir "$upper/upper" "$upper/work" "$upper/merged"
for path in root tmp; do
  mkdir -m "$(stat -c %a "$lower/$path")" "$upper/upper/$path"
  setfattr -n trusted.overlay.opaque -v y "$upper/upper/$path"
done

exec nsenter --mount="/proc/$pid/ns/mnt" sh -s -- "$root" "$lower" "$upper" <<'END'
set -e
root=$1 lower=$2 upper=$3
mount -t overlay -o "lowerdir=$lower,upperdir=$upper/upper,workdir=$upper/work,volatile" overlay "$upper/merged"
# the runtime's mounts on the root; those below them go along
id=$(findmnt -rno ID --mountpoint "$root")
findmnt -rno PARENT,TARGET | while read -r parent target; do
  [ "$parent" = "$id" ] || continue
  place=$upper/merged${target#"$root"}
  [ -e "$place" ] || mkdir -p "$place"
  mount --rbind "$target" "$place"
done
mount --move "$upper/merged" "$root"
END
