package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// fresh builds the second time without anything that the first build left: minutes instead of seconds.
var fresh = flag.Bool("fresh", false, "build the second time with an empty build cache")

const repository = "../.."

// tree copies what git has to another folder: a build there must not know where it is.
func tree(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "another", "place")
	files, err := exec.CommandContext(t.Context(), "git", "-C", repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("list files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(repository, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted and not committed
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func build(t *testing.T, root string) (archive, sums []byte) {
	t.Helper()
	out := t.TempDir()
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if err := run([]string{"build", "--out", out, "--version", "v1.2.3", "--epoch", "1700000000", "--platforms", platform, root}); err != nil {
		t.Fatal(err)
	}
	name := "whisperer_1.2.3_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
	archive, err := os.ReadFile(filepath.Join(out, name))
	if err != nil {
		t.Fatal(err)
	}
	sums, err = os.ReadFile(filepath.Join(out, "checksums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return archive, sums
}

func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Uname != "" || header.ModTime.Unix() != 1700000000 {
			t.Errorf("%s tells who made it, or when", header.Name)
		}
		if files[filepath.Base(header.Name)], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTwoBuildsInTwoPlacesAreTheSameBytes(t *testing.T) {
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	one, oneSums := build(t, root)
	other := tree(t)
	if *fresh {
		t.Setenv("GOCACHE", t.TempDir())
	}
	two, twoSums := build(t, other)
	if !bytes.Equal(one, two) || !bytes.Equal(oneSums, twoSums) {
		a, b := unpack(t, one), unpack(t, two)
		for name := range a {
			if !bytes.Equal(a[name], b[name]) {
				t.Errorf("%s differs", name)
			}
		}
		t.Fatal("two builds differ")
	}
	check(t, unpack(t, one), root)
}

// check looks at what an archive has.
func check(t *testing.T, files map[string][]byte, root string) {
	t.Helper()
	for _, name := range []string{
		"delivery-worker", "subscription-api", "whisperer", "delivery-worker.cdx.json", "subscription-api.cdx.json", "whisperer.cdx.json",
		"whisperer.1", "whisperer.bash", "whisperer.zsh", "whisperer.fish", "LICENSE", "README.md",
	} {
		if len(files[name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	program := filepath.Join(t.TempDir(), "whisperer")
	if err := os.WriteFile(program, files["whisperer"], 0o700); err != nil { //nolint:gosec // to be run
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil || strings.TrimSpace(string(said)) != "v1.2.3" {
		t.Errorf("the program says it is %q: %v", said, err)
	}
	if bytes.Contains(files["whisperer"], []byte(root+"/")) {
		t.Error("the program tells where it was built")
	}
	var bom struct {
		SpecVersion string
		Components  []struct {
			Name    string
			Version string
		}
	}
	if err := json.Unmarshal(files["delivery-worker.cdx.json"], &bom); err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(bom.Components))
	for i, c := range bom.Components {
		names[i] = c.Name
	}
	for _, want := range []string{"std", "github.com/nats-io/nats.go", "github.com/lib/pq"} {
		if !slices.Contains(names, want) {
			t.Errorf("the bill of delivery-worker lacks %s", want)
		}
	}
	if slices.Contains(names, "github.com/testcontainers/testcontainers-go") {
		t.Error("the bill names what only tests use")
	}
}
