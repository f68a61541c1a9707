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

# load ENGINE FILE IMAGE...: Docker drops docker.io/ from the names that it saves, and Podman takes that for localhost/.
load() {
  "$1" load --input "$2"
  local image shortened
  for image in "${@:3}"; do
    shortened=localhost/${image#docker.io/}
    if [[ $1 == podman && $image == docker.io/* ]] && podman image exists "$shortened"; then
      podman tag "$shortened" "$image"
      podman untag "$shortened" "$shortened" # given once, it would take all names of the image
    fi
  done
}

# provide KIND RECIPE BUILDER IMAGE... -- ENGINE...: the images on every engine. BUILDER ENGINE RECIPE makes them on the
# first engine when the cache has none of this recipe; archives of older recipes go.
provide() {
  local kind=$1 hash=$2 builder=$3 archive=$CACHE/$1-$2.tar engine names=()
  for ((shift_by = 4; shift_by <= $#; shift_by++)); do
    [[ ${!shift_by} != -- ]] || break
    names+=("${!shift_by}")
  done
  for engine in "${@:shift_by+1}"; do
    if present "$engine" "$hash" "${names[@]}"; then continue; fi
    if [[ -s $archive ]]; then
      load "$engine" "$archive" "${names[@]}"
    else
      "$builder" "$engine" "$hash"
      save "$engine" "$archive" "${names[@]}"
      find "$CACHE" -maxdepth 1 -name "$kind-*.tar" ! -path "$archive" -delete
    fi
    # Only what has lost its name to the new images; a container that still uses one keeps it.
    "$engine" image prune --force --filter "label=$RECIPE_LABEL" || true
    present "$engine" "$hash" "${names[@]}" || die "$engine does not hold all of ${names[*]}"
  done
}

# build_standins ENGINE RECIPE: the base, then the three on it at the same time.
build_standins() {
  local engine=$1 hash=$2 work image pids=() pid code=0 rootfs=$CACHE/rootfs-debian.tar
  [[ -s $rootfs ]] || "$HERE/images/debian/bootstrap" "$rootfs" "$(mirror)"
  work=$(mktemp -d "$CACHE/standins.XXXXXX")
  ln "$rootfs" "$work/rootfs.tar"
  cp "$HERE/images/debian/Dockerfile" "$work/"
  build "$engine" "$hash" "$PREFIX/debian:bookworm" "$work"
  rm -rf "$work"
  for image in "${STANDINS[@]:1}"; do
    build "$engine" "$hash" "$PREFIX/$image" "$HERE/images/${image%:*}" --build-arg "BASE=$PREFIX/debian:bookworm" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
  return "$code"
}

provide_standins() {
  local hash
  hash=$(recipe "$HERE/images"/{debian,redis,postgres,python})
  provide standins "$hash" build_standins "${STANDINS[@]/#/$PREFIX/}" -- "$@"
}
