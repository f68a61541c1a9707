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
# as they are.
side_apt() {
  local root=$CACHE/apt
  local options=("${APT[@]}" -o "Dir::Etc::sourcelist=$root/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::Lists=$root/lists" -o "Dir::Cache=$root/cache" -o APT::Sandbox::User=root)
  if ! is_fresh "$root/complete"; then
    local key=/usr/share/keyrings/debian-archive-keyring.gpg uri suite type
    uri=$(mirror) || return
    mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
    for type in deb deb-src; do
      for suite in bookworm "$KIND_SUITE"; do echo "$type [signed-by=$key] $uri $suite main"; done
    done >"$root/sources.list"
    apt-get "${options[@]}" -qq update || return # callers chain with &&, where errexit sleeps
    touch "$root/complete"
  fi
  apt-get "${options[@]}" -qq "$@"
}

# fetch_source PACKAGE[/SUITE] FOLDER: unpacks upstream's part of a source package into FOLDER, which must not exist.
fetch_source() {
  local beside=$2.new
  rm -rf "$beside"
  mkdir -p "$beside/download"
  # A mirror may lack the .dsc and Debian's patches, which are not needed: the tarball itself is what must be there, and
  # apt has checked it against the signed list.
  (cd "$beside/download" && side_apt source --download-only "$1") || ls "$beside"/download/*.orig.tar.*
  tar -xf "$beside"/download/*.orig.tar.* -C "$beside" --strip-components=1
  rm -rf "$beside/download"
  mv "$beside" "$2"
}
