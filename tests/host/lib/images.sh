# shellcheck shell=bash
# Images are made once, by one engine, saved into the cache under the hash of their recipe, and loaded by every engine
# that has none of that hash. A label carries the hash, so that an edited recipe replaces what is there.

RECIPE_LABEL=envkit-host.recipe
STANDINS=(debian:bookworm redis:7 postgres:15 python:3.11)
export DOCKER_BUILDKIT=0 # the classic builder needs no plugin

# present ENGINE RECIPE IMAGE...: whether the engine holds every image, made by that recipe.
present() {
  local engine=$1 hash=$2 image
  for image in "${@:3}"; do
    [[ $("$engine" image inspect --format "{{index .Config.Labels \"$RECIPE_LABEL\"}}" "$image" 2>/dev/null) == "$hash" ]] || return 1
  done
}

# build ENGINE RECIPE IMAGE FOLDER [ARGUMENT...]: the host's network, because the sandbox's bridge may lead nowhere.
build() {
  local engine=$1 hash=$2 image=$3 folder=$4
  local options=(--network=host --label "$RECIPE_LABEL=$hash" --tag "$image")
  [[ $engine != podman ]] || options+=(--format=docker)
  "$engine" build "${options[@]}" "${@:5}" "$folder"
}

# save ENGINE FILE IMAGE...
save() {
  local options=()
  [[ $1 != podman ]] || options=(--multi-image-archive)
  "$1" save "${options[@]}" --output "$2.new" "${@:3}"
  mv "$2.new" "$2"
}

# load ENGINE FILE: gives back the full names, which Docker shortens when it saves.
load() {
  local line name
  "$1" load --input "$2" | while read -r line; do
    echo "$line"
    name=${line##*: }
    if [[ $1 == podman && $name == localhost/kindest/* ]]; then podman tag "$name" "docker.io/${name#localhost/}"; fi
  done
}

standin_names() { printf "$PREFIX/%s\n" "${STANDINS[@]}"; }

# The tarball of the base, kept on its own: it is most of the time, and changes with no recipe but its own.
bootstrap_debian() { # bootstrap_debian FILE
  [[ ! -s $1 ]] || return 0
  mmdebstrap --quiet --mode=root --format=tar --variant=minbase \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    bookworm "$1.new" "$(mirror)"
  mv "$1.new" "$1"
}

# build_standins ENGINE RECIPE: the base, then the three on it at the same time.
build_standins() {
  local engine=$1 hash=$2 work image pids=() pid code=0
  work=$(mktemp -d "$CACHE/standins.XXXX")
  bootstrap_debian "$CACHE/debian-rootfs.tar"
  cp -r "$HERE/images/debian" "$work/debian"
  ln "$CACHE/debian-rootfs.tar" "$work/debian/rootfs.tar"
  build "$engine" "$hash" "$PREFIX/debian:bookworm" "$work/debian"
  for image in "${STANDINS[@]:1}"; do
    build "$engine" "$hash" "$PREFIX/$image" "$HERE/images/${image%:*}" --build-arg "BASE=$PREFIX/debian:bookworm" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
  rm -rf "$work"
  return "$code"
}

# provide_standins ENGINE...: the first one builds if nobody has.
provide_standins() {
  local hash archive engine names
  hash=$(recipe "$HERE/images"/{debian,redis,postgres,python} "$HERE/lib/images.sh")
  archive=$CACHE/standins-$hash.tar
  mapfile -t names < <(standin_names)
  for engine; do
    if present "$engine" "$hash" "${names[@]}"; then continue; fi
    if [[ ! -s $archive ]]; then
      build_standins "$engine" "$hash"
      save "$engine" "$archive" "${names[@]}"
      find "$CACHE" -maxdepth 1 -name 'standins-*.tar' ! -path "$archive" -delete
    else
      load "$engine" "$archive"
    fi
    present "$engine" "$hash" "${names[@]}" || die "$engine holds not all of ${names[*]}"
  done
}
