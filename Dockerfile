# Built in two steps: a Go toolchain makes one static binary, and that binary is
# all the image holds. Both bases are arguments, so that an air-gapped registry,
# or a base assembled on the spot, can stand in.
ARG BUILD_BASE=docker.io/library/golang:1.26-bookworm
ARG RUN_BASE=scratch

FROM ${BUILD_BASE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/whoasked ./cmd/whoasked

FROM ${RUN_BASE}
COPY --from=build /out/whoasked /whoasked
# Captures are read as nobody: mount them readable, for instance
#   docker run --rm -v "$PWD:/captures:ro" whoasked read /captures/client.pcap
USER 65534:65534
ENTRYPOINT ["/whoasked"]
CMD ["demo"]
