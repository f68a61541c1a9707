# shellcheck shell=bash
# Debian packages: into the host, or unpacked into the cache. Only the mirror that apt already uses is asked.

APT=(-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)

# is_fresh FILE: it exists and is younger than a day.
is_fresh() { [[ -n $(find "$1" -mmin -1440 2>/dev/null) ]]; }

# install_packages PACKAGE...: those that are missing, in one transaction.
install_packages() {
  local missing=() package
  for package; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  refresh_lists
  DEBIAN_FRONTEND=noninteractive apt-get "${APT[@]}" install -y -qq --no-install-recommends "${missing[@]}"
}

# The lists are fetched once a day at most: with everything cached, nothing here needs the network.
refresh_lists() {
  is_fresh "$CACHE/lists-fresh" && return 0
  apt-get "${APT[@]}" -qq update
  touch "$CACHE/lists-fresh"
}

# The first mirror of Debian bookworm proper among apt's sources; apt knows it once the lists are there.
mirror() {
  local found
  found=$(known_mirrors | sed -n 1p)
  [[ -n $found ]] || { apt-get "${APT[@]}" -qq update >&2; found=$(known_mirrors | sed -n 1p); }
  [[ -n $found ]] || die 'apt has no source for Debian bookworm'
  echo "$found"
}
known_mirrors() {
  # shellcheck disable=SC2016 # apt's own placeholder, not the shell's
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Codename: bookworm'
}

# side_apt ARGUMENTS...: apt-get with sources of its own (source packages, the newer suite), so that the host's stay
# as they are. apt checks the lists' signature, and every download against the lists.
side_apt() {
  local root=$CACHE/apt
  if ! is_fresh "$root/complete"; then
    local key=/usr/share/keyrings/debian-archive-keyring.gpg uri suite type
    uri=$(mirror) || return
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
    for type in deb deb-src; do
      for suite in bookworm "$KIND_SUITE"; do echo "$type [signed-by=$key] $uri $suite main"; done
    done >"$root/sources.list"
    side apt-get -qq update || return # callers chain with &&, where errexit sleeps
    touch "$root/complete"
  fi
  side apt-get -qq "$@"
}

# side PROGRAM ARGUMENTS...: apt-get or apt-cache with those sources.
side() {
  local root=$CACHE/apt
  "$1" "${APT[@]}" -o "Dir::Etc::sourcelist=$root/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::Lists=$root/lists" -o "Dir::Cache=$root/cache" -o APT::Sandbox::User=root "${@:2}"
}

# fetch_source PACKAGE/SUITE FOLDER: unpacks upstream's part of a source package into FOLDER, which must not exist. A mirror
# may lack the .dsc and Debian's patches, which are not needed.
fetch_source() {
  local beside=$2.new
  rm -rf "$beside"
  mkdir -p "$beside/download"
  (cd "$beside/download" && side_apt source --download-only --tar-only "$1") || die "the source package $1 cannot be had"
  checked "${1%/*}" "$beside/download" || die "the source package $1 is not what the signed package lists name"
  tar -xf "$beside"/download/*.orig.tar.?z -C "$beside" --strip-components=1
  rm -rf "$beside/download"
  mv "$beside" "$2"
}

# checked PACKAGE FOLDER: whether every file there has the SHA-256 that the lists name for it, and there is one.
checked() {
  local listed file
  listed=$(side apt-cache showsrc --only-source "$1" \
    | awk '/^Checksums-Sha256:/ {on = 1; next} /^[^ ]/ {on = 0} on {print $1 "  " $3}' | sort -u)
  for file in "$2"/*; do
    grep -F -- "  ${file##*/}" <<<"$listed" | (cd "$2" && sha256sum --check --strict --quiet -) || return
  done
}
