# One program on a given ground.
ARG BASE
FROM ${BASE}
COPY program /usr/local/bin/
