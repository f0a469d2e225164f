#!/usr/bin/env bash
# Makes stand-ins, under the names that docker-compose.yml and the tests use, for the images that come from registries:
# for a Linux machine that reaches a Debian mirror (its own apt's) and a Go module proxy, but no registry.
#
#   scripts/compose/offline-images.sh [postgres] [nats] [natscli] [go] [static] [plugins]     (all without arguments; as root)
#
# `plugins` are docker compose v2 and buildx for this user. Nothing is installed on the machine: packages are
# unpacked into a temporary folder by an apt with its own state, which checks their signatures. Needs a running Docker engine.
set -euo pipefail

SUITE=${SUITE:-trixie}         # of Debian: the packages come from here
PG_MAJOR=${PG_MAJOR:-17}       # what that suite has
NATS_VERSION=${NATS_VERSION:-} # default: the one that services/go.mod requires
POSTGRES_IMAGE=${POSTGRES_IMAGE:-postgres:17-alpine}
NATS_IMAGE=${NATS_IMAGE:-nats:2.15.3-alpine}
NATS_BOX_IMAGE=${NATS_BOX_IMAGE:-natsio/nats-box:0.18.0}
GO_IMAGE=${GO_IMAGE:-golang:1.26}
RUN_IMAGE=${RUN_IMAGE:-gcr.io/distroless/static-debian12:nonroot}

cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fetch DESTINATION download|install PACKAGE... unpacks packages; with `install`, also their dependencies.
fetch() {
  local dest=$1 how=$2 root mirror deb
  shift 2
  root=$(mktemp -d -p "$work")
  # shellcheck disable=SC2016 # apt fills these in
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    awk '$1 == "Debian" && $2 !~ /security/ {print $2; exit}')
  [ -n "$mirror" ] || { echo "no Debian mirror is configured in this machine's apt" >&2; return 1; }
  mkdir -p "$root"/{state/lists/partial,cache/archives/partial,etc/{apt.conf.d,preferences.d,trusted.gpg.d}}
  : >"$root/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $SUITE main" >"$root/etc/sources.list"
  local apt=(apt-get -qq -o Dir::State="$root/state" -o Dir::State::status="$root/status" -o Dir::Cache="$root/cache"
    -o Dir::Etc="$root/etc" -o Dir::Etc::sourcelist="$root/etc/sources.list" -o Dir::Etc::sourceparts=-
    -o APT::Install-Recommends=0 -o APT::Sandbox::User=root -o Acquire::Languages=none)
  "${apt[@]}" update
  if [ "$how" = install ]; then
    "${apt[@]}" install -y --download-only "$@" >/dev/null
  else
    (cd "$root/cache/archives" && "${apt[@]}" download "$@")
  fi
  # Debian keeps programs and libraries in /usr only, with these links to it.
  mkdir -p "$dest"/usr/{bin,sbin,lib,lib64}
  for link in bin sbin lib lib64; do [ -e "$dest/$link" ] || ln -s "usr/$link" "$dest/$link"; done
  for deb in "$root"/cache/archives/*.deb; do
    case ${deb##*/} in
    perl* | libperl* | systemd* | libsystemd-shared* | libllvm* | gcc-[0-9]*-base* | dpkg_* | debconf_* | ucf_* | locales*) continue ;;
    esac
    dpkg-deb --fsys-tarfile "$deb" | tar -C "$dest" -x --keep-directory-symlink
  done
  rm -rf "$root" "$dest"/usr/share/{doc,man,locale,lintian,bash-completion}
}

# shell DESTINATION adds one static busybox in place of all small programs that are missing.
shell() {
  [ -x "$work/busybox/usr/bin/busybox" ] || fetch "$work/busybox" download busybox-static
  mkdir -p "$1/bin"
  cp "$work/busybox/usr/bin/busybox" "$1/bin/busybox"
  local name
  for name in $("$1/bin/busybox" --list); do [ -e "$1/bin/$name" ] || ln -s busybox "$1/bin/$name"; done
}

# people DESTINATION NAME ID adds root, one more user, and the folders that every program expects.
people() {
  mkdir -p "$1"/{etc/ssl/certs,tmp,root,"home/$2"}
  chmod 1777 "$1/tmp"
  chown "$3:$3" "$1/home/$2"
  printf 'root:x:0:0:root:/root:/bin/sh\n%s:x:%d:%d:%s:/home/%s:/bin/sh\n' "$2" "$3" "$3" "$2" "$2" >"$1/etc/passwd"
  printf 'root:x:0:\n%s:x:%d:\n' "$2" "$3" >"$1/etc/group"
  echo 'hosts: files dns' >"$1/etc/nsswitch.conf"
  cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}

# image NAME DESTINATION builds an image, with the rest of its Dockerfile on standard input.
image() {
  tar -C "$2" -cf "$work/rootfs.tar" .
  rm -rf "$2"
  { printf 'FROM scratch\nADD rootfs.tar /\n'; cat; } >"$work/Dockerfile"
  tar -C "$work" -c Dockerfile rootfs.tar | docker build --quiet --tag "$1" - >/dev/null
  rm "$work/rootfs.tar"
  echo "made $1 ($(docker image inspect --format '{{.Size}}' "$1" | awk '{printf "%d MB", $1 / 1000000}'))"
}

make_postgres() {
  local root=$work/postgres
  local home=/usr/lib/postgresql/$PG_MAJOR
  fetch "$root" install "postgresql-$PG_MAJOR" libc-bin tzdata util-linux
  rm -rf "$root$home"/lib/{bitcode,llvmjit*,pgxs}
  shell "$root"
  people "$root" postgres 999
  mkdir -p "$root"/{var/lib/postgresql/data,run/postgresql,docker-entrypoint-initdb.d,usr/local/bin}
  rm -rf "$root/var/run" && ln -s /run "$root/var/run"
  cp scripts/compose/offline-postgres.sh "$root/usr/local/bin/docker-entrypoint.sh"
  sed -i "s/^#listen_addresses = .*/listen_addresses = '*'/" "$root/usr/share/postgresql/$PG_MAJOR/postgresql.conf.sample"
  chown -R 999:999 "$root/var/lib/postgresql" "$root/run/postgresql"
  image "$POSTGRES_IMAGE" "$root" <<DOCKERFILE
ENV PGDATA=/var/lib/postgresql/data LANG=C.UTF-8 PATH=$home/bin:/usr/local/bin:/usr/bin:/bin
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
DOCKERFILE
}

make_nats() {
  local root=$work/nats version=$NATS_VERSION
  [ -n "$version" ] || version=$(GOWORK=off go -C services list -m -f '{{.Version}}' github.com/nats-io/nats-server/v2)
  shell "$root"
  people "$root" nats 1000
  mkdir -p "$root/data"
  GOWORK=off GOBIN="$root/bin" CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "github.com/nats-io/nats-server/v2@$version"
  image "$NATS_IMAGE" "$root" <<'DOCKERFILE'
ENV PATH=/bin
VOLUME /data
EXPOSE 4222 8222
ENTRYPOINT ["nats-server"]
CMD ["--jetstream", "--store_dir", "/data", "--http_port", "8222"]
DOCKERFILE
}

make_natscli() {
  local root=$work/natscli
  shell "$root"
  people "$root" nats 1000
  GOWORK=off GOBIN="$root/bin" CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' github.com/nats-io/natscli/nats@v0.5.1
  image "$NATS_BOX_IMAGE" "$root" <<'DOCKERFILE'
ENV PATH=/bin
CMD ["sh"]
DOCKERFILE
}

make_go() { # without a C compiler: CGO_ENABLED=0
  local root=$work/go
  shell "$root"
  people "$root" go 1000
  mkdir -p "$root"/{usr/local/go,usr/bin,go}
  ln -sf /bin/env "$root/usr/bin/env"
  tar -C "$(go env GOROOT)" --exclude=./test --exclude=./doc --exclude=./api -c . | tar -C "$root/usr/local/go" -x
  image "$GO_IMAGE" "$root" <<'DOCKERFILE'
ENV PATH=/go/bin:/usr/local/go/bin:/bin GOPATH=/go GOTOOLCHAIN=local CGO_ENABLED=0
WORKDIR /go
CMD ["sh"]
DOCKERFILE
}

make_static() {
  local root=$work/static
  people "$root" nonroot 65532
  mkdir -p "$root/usr/share"
  cp -a /usr/share/zoneinfo "$root/usr/share/"
  image "$RUN_IMAGE" "$root" <<'DOCKERFILE'
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /home/nonroot
DOCKERFILE
}

make_plugins() {
  local plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
  fetch "$work/plugins" download docker-compose docker-buildx
  mkdir -p "$plugins"
  cp "$work"/plugins/usr/libexec/docker/cli-plugins/* "$plugins/"
  docker compose version
  docker buildx version
}

[ $# -gt 0 ] || set -- postgres nats natscli go static plugins
for name; do
  case $name in
  postgres | nats | natscli | go | static | plugins) "make_$name" ;;
  *) echo "$name is none of: postgres nats natscli go static plugins" >&2; exit 2 ;;
  esac
done
