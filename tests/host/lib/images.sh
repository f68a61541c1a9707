# shellcheck shell=bash
# Builds images once, on one engine, saves them in the cache under the hash of their recipe, and loads them into every
# engine that lacks them. Each image has the hash as a label, so that an edited recipe replaces the image.

RECIPE_LABEL=envkit-host.recipe
STANDINS=(debian:bookworm redis:7 postgres:15 python:3.11)
export DOCKER_BUILDKIT=0 # the classic builder needs no plugin

# present ENGINE RECIPE IMAGE...: succeeds if the engine has all images, built from that recipe.
present() {
  local engine=$1 hash=$2 image
  for image in "${@:3}"; do
    [[ $("$engine" image inspect --format "{{index .Config.Labels \"$RECIPE_LABEL\"}}" "$image" 2>/dev/null) == "$hash" ]] || return 1
  done
}

# build ENGINE RECIPE IMAGE FOLDER [ARGUMENT...]: builds an image. It uses the host's network, because the engine's bridge
# may have no route out.
build() {
  local engine=$1 hash=$2 image=$3 folder=$4
  local options=(--network=host --label "$RECIPE_LABEL=$hash" --tag "$image")
  [[ $engine != podman ]] || options+=(--format=docker)
  "$engine" build "${options[@]}" "${@:5}" "$folder"
}

# save ENGINE FILE IMAGE...: saves the images in one archive.
save() {
  local options=()
  [[ $1 != podman ]] || options=(--multi-image-archive)
  "$1" save "${options[@]}" --output "$2.new" "${@:3}"
  mv "$2.new" "$2"
}

# load ENGINE FILE IMAGE...: loads an archive and restores the names. Docker omits docker.io/ from the names that it saves,
# and Podman then adds localhost/.
load() {
  "$1" load --input "$2"
  local image shortened
  for image in "${@:3}"; do
    shortened=localhost/${image#docker.io/}
    if [[ $1 == podman && $image == docker.io/* ]] && podman image exists "$shortened"; then
      podman tag "$shortened" "$image"
      podman untag "$shortened" "$shortened" # with one argument it would remove all names of the image
    fi
  done
}

# provide KIND RECIPE BUILDER IMAGE... -- ENGINE...: makes sure that every engine has the images. If the cache lacks them,
# `BUILDER ENGINE RECIPE` builds them on the first engine. Archives of older recipes are removed.
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
    # Removes older images that lost their names to the new ones, unless a container still uses them.
    "$engine" image prune --force --filter "label=$RECIPE_LABEL" || true
    present "$engine" "$hash" "${names[@]}" || die "$engine does not hold all of ${names[*]}"
  done
}

# build_standins ENGINE RECIPE: builds the base image, then the three images on it in parallel.
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
