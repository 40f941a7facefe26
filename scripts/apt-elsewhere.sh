# shellcheck shell=bash
# Sourced. An apt configuration in a directory of its own: another release of Debian, from the mirror of this machine.
#
#   apt_elsewhere DIR TYPE RELEASE [ARCHITECTURE]     TYPE: deb or deb-src; sets apt_options and brings the lists up to date

# The first mirror of Debian's archive itself in the machine's sources, of one-line or deb822 form.
debian_mirror() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    sed -nE -e 's|^URIs:[[:space:]]*([^[:space:]]*/debian)/?([[:space:]].*)?$|\1|p' \
      -e 's|^deb(-src)?[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]*/debian)/?[[:space:]].*$|\3|p' "$file"
  done | head -n 1
}

apt_elsewhere() {
  local directory=$1 type=$2 release=$3 mirror
  mirror=$(debian_mirror)
  [ -n "$mirror" ] || {
    echo "no mirror of Debian in /etc/apt; hint: the build takes packages from the mirror that the machine uses" >&2
    return 1
  }
  mkdir -p "$directory/lists/partial" "$directory/cache/archives/partial"
  printf '%s [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$type" "$mirror" "$release" \
    >"$directory/sources.list"
  apt_options=(
    -o "Dir::Etc::sourcelist=$directory/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$directory/lists"
    -o "Dir::Cache=$directory/cache" -o APT::Sandbox::User=root
  )
  [ -z "${4:-}" ] || apt_options+=(-o "APT::Architecture=$4" -o "APT::Architectures=$4")
  apt-get "${apt_options[@]}" update -qq >"$directory/update.log" 2>&1 || {
    echo "apt-get update of $release: $(tail -n 1 "$directory/update.log")" >&2
    return 1
  }
}
