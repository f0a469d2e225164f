package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// push puts an image of random bytes into the registry and returns its digest.
func push(t *testing.T, name string) string {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := crane.Push(image, name); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestPinWritesTheDigestsThatTagsHaveNow(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	broker, base := push(t, host+"/nats:2.15.3-alpine"), push(t, host+"/base/go:1.26")

	folder := t.TempDir()
	compose, docker := filepath.Join(folder, "compose.yml"), filepath.Join(folder, "Dockerfile")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write(compose, "image: ${NATS_IMAGE:-"+host+"/nats:2.15.3-alpine} # the least\nimage: whisperer/api:${VERSION:-dev}\n")
	write(docker, "ARG GO_IMAGE="+host+"/base/go:1.26\nFROM ${GO_IMAGE} AS build\n")

	for range 2 { // what is pinned already stays as it is
		if err := run([]string{"pin", compose, docker}); err != nil {
			t.Fatal(err)
		}
		if got, want := read(compose), "image: ${NATS_IMAGE:-"+host+"/nats:2.15.3-alpine@"+broker+"} # the least\nimage: whisperer/api:${VERSION:-dev}\n"; got != want {
			t.Errorf("compose file is\n%s\nwant\n%s", got, want)
		}
		if got, want := read(docker), "ARG GO_IMAGE="+host+"/base/go:1.26@"+base+"\nFROM ${GO_IMAGE} AS build\n"; got != want {
			t.Errorf("Dockerfile is\n%s\nwant\n%s", got, want)
		}
	}

	moved := push(t, host+"/nats:2.15.3-alpine")
	if err := run([]string{"pin", compose}); err != nil {
		t.Fatal(err)
	}
	if got := read(compose); !strings.Contains(got, moved) || strings.Contains(got, broker) {
		t.Errorf("the tag moved to %s, the file is\n%s", moved, got)
	}

	before := "image: ${NATS_IMAGE:-" + host + "/nats:2.15.3-alpine}\nimage: ${OTHER_IMAGE:-" + host + "/absent:1}\n"
	write(compose, before)
	if err := run([]string{"pin", compose}); err == nil || !strings.Contains(err.Error(), "absent:1") {
		t.Errorf("an image that is not there: %v", err)
	}
	if got := read(compose); got != before {
		t.Errorf("a file with an image that is not there was written:\n%s", got)
	}
	write(docker, "FROM scratch\n")
	if err := run([]string{"pin", docker}); err == nil {
		t.Error("a file without images is taken")
	}
}

// The files that `make pin` names have images that it finds.
func TestWhatMakePinNamesHasImages(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(makefile), "go run . pin ")
	line, _, _ = strings.Cut(line, "\n")
	files := strings.Fields(line)
	if len(files) == 0 {
		t.Fatal("the Makefile pins no files")
	}
	for _, name := range files {
		text, err := os.ReadFile(strings.Replace(name, "$(CURDIR)", repository, 1))
		if err != nil {
			t.Fatal(err)
		}
		if !pinned.Match(text) {
			t.Errorf("%s has no image to pin", name)
		}
	}
}

// What a release is built on is pinned before it is built, and its images say what that is.
func TestTheReleasePinsWhatItsImagesAreBasedOn(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	docker, workflow := read("Dockerfile"), read(".github/workflows/release.yml")
	for _, label := range []string{"authors", "base.digest", "base.name", "created", "description", "documentation", "licenses", "ref.name", "revision", "source", "title", "url", "vendor", "version"} {
		if !strings.Contains(docker, "org.opencontainers.image."+label+"=") {
			t.Errorf("images have no label %s", label)
		}
	}
	_, images, _ := strings.Cut(workflow, "\n  images:\n")
	before, build, found := strings.Cut(images, "docker/build-push-action@")
	if !found || !strings.Contains(before, "make pin\n") || !strings.Contains(build, "context: .") {
		t.Error("images are built before they are pinned, or from the commit")
	}
	for _, argument := range []string{"VERSION", "REVISION", "CREATED", "BASE_NAME", "BASE_DIGEST"} {
		if !strings.Contains(build, "            "+argument+"=${{ ") || !strings.Contains(docker, `="${`+argument+`}"`) {
			t.Errorf("a release gives no %s to its images", argument)
		}
	}

	// The workflow finds name and digest in the Dockerfile as pin writes it.
	_, line, _ := strings.Cut(before, "sed -n '")
	line, _, _ = strings.Cut(line, "'")
	digest := "sha256:" + strings.Repeat("a", 64)
	written := pinned.ReplaceAllString(docker, "${1}${2}@"+digest)
	sed := exec.CommandContext(t.Context(), "sed", "-n", line)
	sed.Stdin = strings.NewReader(written)
	out, err := sed.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "name=gcr.io/distroless/static-debian12:nonroot\ndigest=" + digest + "\n"; string(out) != want {
		t.Errorf("the workflow reads\n%s\nwant\n%s", out, want)
	}
}
