# One image per binary: docker build --target subscription-api|delivery-worker|whisperer .
# Builds with and without BuildKit; GO_IMAGE and RUN_IMAGE let it build where these registries cannot be reached.
ARG GO_IMAGE=golang:1.26
ARG RUN_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${GO_IMAGE} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
# The module proxy to build through, when it is not Go's own.
ARG GOPROXY
COPY go.work go.work.sum ./
COPY migrations/go.* migrations/
COPY proto/go.* proto/
COPY pkg/go.* pkg/
COPY services/go.* services/
COPY scripts/release/go.* scripts/release/
RUN go mod download && GOWORK=off go -C scripts/release mod download
COPY . .
ARG VERSION=dev
RUN go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ \
    ./services/subscription-api/cmd/subscription-api \
    ./services/delivery-worker/cmd/delivery-worker \
    ./services/whisperer/cmd/whisperer \
    && mkdir /sbom && cd scripts/release && GOWORK=off go run . sbom --out /sbom --version "${VERSION}" /out/*

# Nothing but certificates, time zones and a user; the binaries write nowhere, so run them with --read-only.
FROM ${RUN_IMAGE} AS run
USER 65532:65532
WORKDIR /
ARG VERSION=dev
# Where each image has its software bill of materials (CycloneDX): docker cp, or a scanner.
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      io.whisperer.sbom="/usr/share/sbom/"

FROM run AS subscription-api
COPY --from=build /sbom/subscription-api.cdx.json /usr/share/sbom/
COPY --from=build /out/subscription-api /usr/local/bin/subscription-api
EXPOSE 8080 9090
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/usr/local/bin/subscription-api", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/subscription-api"]

FROM run AS delivery-worker
COPY --from=build /sbom/delivery-worker.cdx.json /usr/share/sbom/
COPY --from=build /out/delivery-worker /usr/local/bin/delivery-worker
EXPOSE 9091
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/usr/local/bin/delivery-worker", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/delivery-worker"]

FROM run AS whisperer
COPY --from=build /sbom/whisperer.cdx.json /usr/share/sbom/
COPY --from=build /out/whisperer /usr/local/bin/whisperer
ENTRYPOINT ["/usr/local/bin/whisperer"]
