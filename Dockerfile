# syntax=docker/dockerfile:1
# One image with all of Sluice's programs, and iptables (nft and legacy, IPv4
# and IPv6) for the init container. Build for several platforms at once with
#   docker buildx build --platform linux/amd64,linux/arm64 -t sluice:dev .
# test/cluster makes the same image without Docker.

ARG GO_VERSION=1.26
ARG DEBIAN_VERSION=bookworm

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-${DEBIAN_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w" -o /out/ ./cmd/...

FROM debian:${DEBIAN_VERSION}-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends iptables \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY --from=build /out/ /usr/local/bin/
# Numbers, so that runAsNonRoot can be checked. The init container's pod says 0.
USER 15301:15301
