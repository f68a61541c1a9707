# shellcheck shell=bash
# Kubernetes, compiled from Debian's source package; etcd, from its binary package. Both end in one folder of the cache.

KUBERNETES=$CACHE/kubernetes-$K8S_VERSION
KUBERNETES_PROGRAMS=(kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubeadm kubectl kubelet)

kubernetes_is_built() { [[ -e $KUBERNETES/complete ]]; }

# What only the compilation needs, and only where it has not been done.
kubernetes_packages() {
  kubernetes_is_built || echo golang-github-modern-go-reflect2-dev dpkg-dev
}

build_kubernetes() {
  kubernetes_is_built && return 0
  local work=$CACHE/kubernetes.work
  unset GOROOT GOBIN GOPROXY
  # What `./dev up` has compiled before is not compiled again: the same folder, compiler and source.
  local compiled=$CACHE/build
  mkdir -p "$compiled"
  chmod 0700 "$compiled"
  export GOPATH=$work GOCACHE=$compiled GO111MODULE=off CGO_ENABLED=0 GOFLAGS='' GOTOOLCHAIN=local
  export PATH=/usr/lib/go-1.19/bin:$PATH
  local source=$work/src/k8s.io/kubernetes
  mkdir -p "${source%/*}" "$work/bin"
  [[ -d $source ]] || fetch_source kubernetes/bookworm "$source"
  cd "$source" || return
  [[ -e $work/prepared ]] || { replace_reflect2; generate_openapi "$work"; touch "$work/prepared"; }
  # One build for all: shared packages are compiled once, and one program links while another compiles.
  go build -trimpath -ldflags "$(version_flags)" -o "$work/bin/" "${KUBERNETES_PROGRAMS[@]/#/./cmd/}"
  fetch_etcd "$work"
  rm -rf "$KUBERNETES"
  mv "$work/bin" "$KUBERNETES"
  touch "$KUBERNETES/complete"
  cd "$CACHE" || return
  chmod -R u+w "$work" "$compiled"
  rm -rf "$work" "$compiled"
}

# offer_kubernetes: `./dev up` finds the programs in any shell, where setup-envtest keeps its own, and compiles nothing.
offer_kubernetes() {
  local store=${XDG_DATA_HOME:-$HOME/.local/share}/kubebuilder-envtest/k8s
  local place
  place=$store/${K8S_VERSION#v}-linux-$(dpkg --print-architecture)
  [[ ! -e $place ]] || return 0
  mkdir -p "$store"
  ln -sfn "$KUBERNETES" "$place"
}

# Go 1.18 changed the iterator of maps: the vendored reflect2 1.0.1 panics with it, Debian's own does not.
replace_reflect2() {
  local vendored=vendor/github.com/modern-go/reflect2 packaged=/usr/share/gocode/src/github.com/modern-go/reflect2
  find "$vendored" -type f -delete
  find "$packaged" -maxdepth 1 -type f -name '*.[gs]*' ! -name '*_test.go' -exec cp -t "$vendored" {} +
}

# The API server's OpenAPI definitions are made by upstream's makefile, and in no tarball.
generate_openapi() {
  local generator=$1/openapi-gen packages
  go build -o "$generator" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  packages=$(grep --recursive --files-with-matches --include='*.go' '+k8s:openapi-gen=' pkg staging/src/k8s.io \
    | grep -vE '/(code-generator|sample-(apiserver|cli-plugin|controller))/' \
    | sed -e 's|/[^/]*$||' -e 's|^staging/src/|k8s.io/kubernetes/vendor/|' -e 's|^pkg/|k8s.io/kubernetes/pkg/|' \
    | LC_ALL=C sort -u | paste -sd,)
  "$generator" --logtostderr --input-dirs "$packages" --output-package k8s.io/kubernetes/pkg/generated/openapi \
    --output-file-base zz_generated.openapi --go-header-file hack/boilerplate/boilerplate.generatego.txt \
    --report-filename "$1/openapi.report"
}

# kubeadm and the version endpoint refuse to work with v0.0.0.
version_flags() {
  local package prefix flags='-s -w'
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    for prefix in '' k8s.io/kubernetes/vendor/; do
      flags+=" -X $prefix$package.gitVersion=$K8S_VERSION -X $prefix$package.gitTreeState=clean"
      flags+=" -X $prefix$package.gitMajor=1 -X $prefix$package.gitMinor=20"
    done
  done
  echo "$flags"
}

# Downloaded and unpacked, never installed: the package would start a daemon.
fetch_etcd() {
  local beside=$1/etcd
  rm -rf "$beside"
  mkdir "$beside"
  (cd "$beside" && side_apt download etcd-server/bookworm && dpkg-deb -x etcd-server_*.deb .)
  mv "$beside/usr/bin/etcd" "$1/bin/etcd"
}
