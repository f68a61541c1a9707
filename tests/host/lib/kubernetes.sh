# shellcheck shell=bash
# Compiles Kubernetes from Debian's source package and unpacks etcd from its binary package, into one folder of the cache.

KUBERNETES=$CACHE/kubernetes-$K8S_VERSION
KUBERNETES_PROGRAMS=(kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubeadm kubectl kubelet)

kubernetes_is_built() { [[ -e $KUBERNETES/complete ]]; }

# kubernetes_packages: prints the packages that only the compilation needs, unless it is done.
kubernetes_packages() {
  kubernetes_is_built || echo golang-github-modern-go-reflect2-dev dpkg-dev
}

build_kubernetes() {
  kubernetes_is_built && return 0
  local work=$CACHE/kubernetes.work
  unset GOROOT GOBIN GOPROXY
  # The same folder, compiler and source as in `./dev up`, so that its compiled packages are reused.
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
  # One build for all programs: it compiles shared packages once, and links one program while it compiles another.
  go build -trimpath -ldflags "$(version_flags)" -o "$work/bin/" "${KUBERNETES_PROGRAMS[@]/#/./cmd/}"
  fetch_etcd "$work"
  rm -rf "$KUBERNETES"
  mv "$work/bin" "$KUBERNETES"
  touch "$KUBERNETES/complete"
  cd "$CACHE" || return
  chmod -R u+w "$work" "$compiled"
  rm -rf "$work" "$compiled"
}

# offer_kubernetes: links the programs to setup-envtest's folder, so that `./dev up` finds them in any shell.
offer_kubernetes() {
  local store=${XDG_DATA_HOME:-$HOME/.local/share}/kubebuilder-envtest/k8s
  local place
  place=$store/${K8S_VERSION#v}-linux-$(dpkg --print-architecture)
  [[ ! -e $place ]] || return 0
  mkdir -p "$store"
  ln -sfn "$KUBERNETES" "$place"
}

# replace_reflect2: replaces the vendored reflect2 1.0.1 by Debian's. Go 1.18 changed the iterator of maps, with which
# version 1.0.1 panics.
replace_reflect2() {
  local vendored=vendor/github.com/modern-go/reflect2 packaged=/usr/share/gocode/src/github.com/modern-go/reflect2
  find "$vendored" -type f -delete
  find "$packaged" -maxdepth 1 -type f -name '*.[gs]*' ! -name '*_test.go' -exec cp -t "$vendored" {} +
}

# generate_openapi: generates the API server's OpenAPI definitions, as upstream's makefile does; no archive has them.
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

# version_flags: prints linker flags that set the version. kubeadm and the version endpoint fail with v0.0.0.
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

# fetch_etcd: downloads and unpacks etcd. It is not installed, because the package would start a daemon.
fetch_etcd() {
  local beside=$1/etcd
  rm -rf "$beside"
  mkdir "$beside"
  (cd "$beside" && side_apt download etcd-server/bookworm && dpkg-deb -x etcd-server_*.deb .)
  mv "$beside/usr/bin/etcd" "$1/bin/etcd"
}
