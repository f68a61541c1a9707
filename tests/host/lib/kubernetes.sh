KUBERNETES_PACKAGES=()
build_kubernetes() { sleep 1; }
