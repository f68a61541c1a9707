# shellcheck shell=bash
# Builds the image of a kind node: its root file system, and inside it the images of the control plane.

NODE_IMAGE=$NODE_REPOSITORY:$K8S_VERSION

# provide_node_image ENGINE...: makes sure that every engine has the node image; the first engine builds it if needed.
provide_node_image() {
  local hash
  hash=$(recipe "$HERE/images/node" "$HERE/images/debian")-$K8S_VERSION
  provide node "$hash" build_node "$NODE_IMAGE" -- "$@"
}

# build_node ENGINE RECIPE: builds the node image, and removes all temporary images and files.
build_node() {
  local engine=$1 hash=$2 work container=envkit-host-node stage=$PREFIX/node-stage
  work=$(mktemp -d "$CACHE/node.XXXXXX")
  build_node_stage "$engine" "$hash" "$stage" "$work"
  build_inner_images "$engine" "$hash" "$work"
  "$engine" rm --force "$container" || true # left by a killed run
  "$engine" run --detach --name "$container" --privileged --entrypoint sleep "$stage" infinity 8>&-
  # shellcheck disable=SC2016 # for the container's shell
  # Imported without unpacking: overlay on overlay does not work, and kind's nodes have /var in a volume anyway.
  "$engine" exec --interactive "$container" bash -euc '
    containerd >/dev/null 2>&1 & daemon=$!
    for _ in {1..100}; do ctr version >/dev/null 2>&1 && break; sleep 0.1; done
    ctr --namespace k8s.io images import --all-platforms --no-unpack -
    kill $daemon; wait $daemon || true' <"$work/inner.tar"
  "$engine" stop --time 0 "$container"
  "$engine" commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' --change 'CMD []' "$container" "$NODE_IMAGE"
  "$engine" rm --force "$container"
  "$engine" rmi "$stage" "$PREFIX/node-tools" "${INNER_IMAGES[@]}"
  rm -rf "$work"
}

# build_node_stage ENGINE RECIPE IMAGE FOLDER: builds the node image without the images of the control plane.
build_node_stage() {
  local context=$4/stage
  mkdir -p "$context/programs"
  fetch_source "kind/$KIND_SUITE" "$4/kind"
  cp -r "$4/kind/images/base/files" "$context/files"
  "$HERE/images/node/patch" "$context/files"
  cp "$KUBERNETES"/{kubeadm,kubectl,kubelet} "$context/programs/"
  cp "$HERE/images/node/Dockerfile" "$context/"
  build "$1" "$2" "$3" "$context" --build-arg "BASE=$PREFIX/debian:bookworm" --build-arg "VERSION=$K8S_VERSION"
}

# The image names that this version of kubeadm uses.
INNER_IMAGES=(k8s.gcr.io/{kube-apiserver,kube-controller-manager,kube-proxy,kube-scheduler}:"$K8S_VERSION"
  k8s.gcr.io/etcd:3.4.13-0 k8s.gcr.io/pause:3.2)

# build_inner_images ENGINE RECIPE FOLDER: builds the images of the control plane and saves them as inner.tar.
build_inner_images() {
  local engine=$1 hash=$2 work=$3 recipes=$HERE/images/node tools=$PREFIX/node-tools image name base
  mkdir -p "$work/empty" "$work/pause"
  build "$engine" "$hash" "$tools" "$work/empty" --file "$recipes/tools.Dockerfile" --build-arg "BASE=$PREFIX/debian:bookworm"
  gcc -Os -Wall -Werror -static -s -o "$work/pause/pause" "$recipes/pause.c"
  for image in "${INNER_IMAGES[@]}"; do
    name=${image##*/} name=${name%:*}
    case $name in
      pause) build "$engine" "$hash" "$image" "$work/pause" --file "$recipes/pause.Dockerfile"; continue ;;
      etcd | kube-proxy) base=$tools ;;
      *) base=scratch ;;
    esac
    mkdir -p "$work/$name/program"
    cp "$KUBERNETES/$name" "$work/$name/program/"
    build "$engine" "$hash" "$image" "$work/$name" --file "$recipes/program.Dockerfile" --build-arg "BASE=$base"
  done
  save "$engine" "$work/inner.tar" "${INNER_IMAGES[@]}"
}

# Images of an API server without nodes, for the mixed lane. They replace those of registry.k8s.io.
ENVTEST_IMAGES=("$PREFIX/kube-apiserver:$K8S_VERSION" "$PREFIX/kube-controller-manager:$K8S_VERSION" "$PREFIX/etcd:3.4")

provide_envtest() {
  local hash
  hash=$(recipe "$HERE/images/node/program.Dockerfile" "$HERE/images/debian")-$K8S_VERSION
  provide envtest "$hash" build_envtest "${ENVTEST_IMAGES[@]}" -- "$@"
}

# build_envtest ENGINE RECIPE: builds these images; static programs on an empty base, etcd on Debian for its C library.
build_envtest() {
  local engine=$1 hash=$2 work image name base
  work=$(mktemp -d "$CACHE/envtest.XXXXXX")
  for image in "${ENVTEST_IMAGES[@]}"; do
    name=${image##*/} name=${name%:*} base=scratch
    [[ $name != etcd ]] || base=$PREFIX/debian:bookworm
    mkdir -p "$work/$name/program"
    cp "$KUBERNETES/$name" "$work/$name/program/"
    build "$engine" "$hash" "$image" "$work/$name" --file "$HERE/images/node/program.Dockerfile" --build-arg "BASE=$base"
  done
  rm -rf "$work"
}
