# One image per binary: docker build --target subscription-api|delivery-worker|whisperer .
# Needs BuildKit (docker buildx). It compiles on the builder's own platform for the target's, so that --platform
# linux/amd64,linux/arm64 emulates nothing. GO_IMAGE and RUN_IMAGE let it build where these registries cannot be reached.
ARG GO_IMAGE=golang:1.26
ARG RUN_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
# The module proxy to build through, when it is not Go's own.
ARG GOPROXY
COPY . .
ARG TARGETOS TARGETARCH
# Last, since it changes with every commit: then nothing is compiled anew, only linked.
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ \
    ./services/subscription-api/cmd/subscription-api \
    ./services/delivery-worker/cmd/delivery-worker \
    ./services/whisperer/cmd/whisperer \
    && mkdir /sbom && cd scripts/release && GOWORK=off go run . sbom --out /sbom --version "${VERSION}" /out/*

# Nothing but certificates, time zones and a user; the binaries write nowhere, so run them with --read-only.
FROM ${RUN_IMAGE} AS run
USER 65532:65532
WORKDIR /
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
# RUN_IMAGE without its digest, and that digest: a release gives both.
ARG RUN_IMAGE
ARG BASE_NAME=${RUN_IMAGE}
ARG BASE_DIGEST=unknown
# io.whisperer.sbom is where each image has its software bill of materials (CycloneDX): docker cp, or a scanner.
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.ref.name="${VERSION}" \
      org.opencontainers.image.base.name="${BASE_NAME}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}" \
      org.opencontainers.image.authors="The Whisperer authors <https://github.com/whisperer-oms/whisperer>" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="https://github.com/whisperer-oms/whisperer" \
      org.opencontainers.image.url="https://github.com/whisperer-oms/whisperer" \
      org.opencontainers.image.documentation="https://github.com/whisperer-oms/whisperer/blob/main/docs/operations.md" \
      org.opencontainers.image.vendor="The Whisperer authors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      io.whisperer.sbom="/usr/share/sbom/"

FROM run AS subscription-api
LABEL org.opencontainers.image.title="subscription-api" \
      org.opencontainers.image.description="Whisperer's HTTP API and console: hooks, events, and what was delivered"
COPY --from=build /sbom/subscription-api.cdx.json /usr/share/sbom/
COPY --from=build /out/subscription-api /usr/local/bin/subscription-api
EXPOSE 8080 9090
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/usr/local/bin/subscription-api", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/subscription-api"]

FROM run AS delivery-worker
LABEL org.opencontainers.image.title="delivery-worker" \
      org.opencontainers.image.description="Whisperer's worker: delivers events to hooks as signed webhooks"
COPY --from=build /sbom/delivery-worker.cdx.json /usr/share/sbom/
COPY --from=build /out/delivery-worker /usr/local/bin/delivery-worker
EXPOSE 9091
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/usr/local/bin/delivery-worker", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/delivery-worker"]

FROM run AS whisperer
LABEL org.opencontainers.image.title="whisperer" \
      org.opencontainers.image.description="Whisperer's command line and the database's migrations"
COPY --from=build /sbom/whisperer.cdx.json /usr/share/sbom/
COPY --from=build /out/whisperer /usr/local/bin/whisperer
ENTRYPOINT ["/usr/local/bin/whisperer"]
