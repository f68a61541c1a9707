# shellcheck shell=bash
# Installs Debian packages on the host, or unpacks them into the cache. It uses only the mirror that apt already uses.

APT=(-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)

# is_fresh FILE: succeeds if the file exists and is less than a day old.
is_fresh() { [[ -n $(find "$1" -mmin -1440 2>/dev/null) ]]; }

# install_packages PACKAGE...: installs the missing packages in one transaction.
install_packages() {
  local missing=() package
  for package; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  refresh_lists
  DEBIAN_FRONTEND=noninteractive apt-get "${APT[@]}" install -y -qq --no-install-recommends "${missing[@]}"
}

# refresh_lists: downloads the package lists at most once a day, so that a host with a full cache needs no network.
refresh_lists() {
  is_fresh "$CACHE/lists-fresh" && return 0
  apt-get "${APT[@]}" -qq update
  touch "$CACHE/lists-fresh"
}

# mirror: prints the first mirror of Debian bookworm itself in apt's sources. apt needs the package lists to find it.
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

# side_apt ARGUMENTS...: runs apt-get with separate sources (source packages, the newer suite), so that the host's stay
# unchanged. apt checks the signature of the lists, and every download against the lists.
side_apt() {
  local root=$CACHE/apt
  if ! is_fresh "$root/complete"; then
    local key=/usr/share/keyrings/debian-archive-keyring.gpg uri suite type
    uri=$(mirror) || return
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
    for type in deb deb-src; do
      for suite in bookworm "$KIND_SUITE"; do echo "$type [signed-by=$key] $uri $suite main"; done
    done >"$root/sources.list"
    side apt-get -qq update || return # callers use &&, which disables errexit
    touch "$root/complete"
  fi
  side apt-get -qq "$@"
}

# side PROGRAM ARGUMENTS...: runs apt-get or apt-cache with the separate sources.
side() {
  local root=$CACHE/apt
  "$1" "${APT[@]}" -o "Dir::Etc::sourcelist=$root/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::Lists=$root/lists" -o "Dir::Cache=$root/cache" -o APT::Sandbox::User=root "${@:2}"
}

# fetch_source PACKAGE/SUITE FOLDER: unpacks the upstream archive of a source package into FOLDER, which must not exist. The
# .dsc file and Debian's patches are not needed, and a mirror may lack them.
fetch_source() {
  local beside=$2.new
  rm -rf "$beside"
  mkdir -p "$beside/download"
  (cd "$beside/download" && side_apt source --download-only --tar-only "$1") || die "the source package $1 cannot be downloaded"
  checked "${1%/*}" "$beside/download" || die "the source package $1 does not match the signed package lists"
  tar -xf "$beside"/download/*.orig.tar.?z -C "$beside" --strip-components=1
  rm -rf "$beside/download"
  mv "$beside" "$2"
}

# checked PACKAGE FOLDER: succeeds if the folder has files and each has the SHA-256 of the package lists.
checked() {
  local listed file
  listed=$(side apt-cache showsrc --only-source "$1" \
    | awk '/^Checksums-Sha256:/ {on = 1; next} /^[^ ]/ {on = 0} on {print $1 "  " $3}' | sort -u)
  for file in "$2"/*; do
    grep -F -- "  ${file##*/}" <<<"$listed" | (cd "$2" && sha256sum --check --strict --quiet -) || return
  done
}
