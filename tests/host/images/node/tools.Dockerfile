# The ground of the images inside the node: the C library (etcd) and what kube-proxy calls, with the libraries that
# these load, and nothing else. It is unpacked anew in every cluster, so every megabyte costs time there.
ARG BASE
FROM ${BASE} AS full
RUN apt-get -qq update && apt-get install -y -qq --no-install-recommends conntrack iptables kmod \
 && libraries=/usr/lib/$(uname -m)-linux-gnu \
 && mkdir -p /out/usr/sbin /out/usr/bin /out/usr/lib /out/tmp /out/run /out/etc \
 && ln -s usr/sbin usr/bin usr/lib /out/ && ln -s usr/lib /out/lib64 \
 && cp /usr/sbin/xtables-nft-multi /usr/sbin/conntrack /out/usr/sbin/ && cp /bin/kmod /out/usr/sbin/modprobe \
 && for family in iptables ip6tables; do for tool in '' -save -restore; do \
      ln -s xtables-nft-multi /out/usr/sbin/$family$tool; done; done \
 && mkdir -p /out$libraries && cp -r $libraries/xtables /out$libraries/ \
 && cp /etc/protocols /out/etc/ \
 && ldd /out/usr/sbin/xtables-nft-multi /out/usr/sbin/conntrack /out/usr/sbin/modprobe \
    | sed -n -e 's|.*=> \(/[^ ]*\) .*|\1|p' -e 's|^[[:space:]]*\(/[^ ]*ld-[^ ]*\) .*|\1|p' | sort -u \
    | while read -r library; do cp -L --parents "$library" /out/; done
FROM scratch
COPY --from=full /out/ /
