package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// programs are what is released, by the name of their binary.
var programs = []string{"delivery-worker", "subscription-api", "whisperer"}

// release is what to build, and where to.
type release struct {
	root, out, version string
	time               time.Time
}

// build makes an archive for each platform, and a list of their checksums.
func (r *release) build(platforms []string) error {
	if err := os.MkdirAll(r.out, 0o755); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("make folder: %w", err)
	}
	documents, err := r.document()
	if err != nil {
		return err
	}
	slices.Sort(platforms)
	var sums bytes.Buffer
	for _, platform := range platforms {
		system, arch, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("platform %q is not SYSTEM/ARCHITECTURE", platform)
		}
		name := fmt.Sprintf("whisperer_%s_%s_%s", strings.TrimPrefix(r.version, "v"), system, arch)
		archive, err := r.archive(name, system, arch, documents)
		if err != nil {
			return fmt.Errorf("build for %s: %w", platform, err)
		}
		fmt.Fprintf(&sums, "%x  %s.tar.gz\n", sha256.Sum256(archive), name)
		if err := r.write(name+".tar.gz", archive); err != nil {
			return err
		}
		fmt.Printf("%s.tar.gz  %.1f MB\n", name, float64(len(archive))/1e6)
	}
	return r.write("checksums.txt", sums.Bytes())
}

func (r *release) write(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(r.out, name), content, 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("write release: %w", err)
	}
	return nil
}

// archive builds for a platform and packs the binaries, their bills and the documents, owned by nobody and with the time
// of the commit.
func (r *release) archive(name, system, arch string, documents map[string][]byte) ([]byte, error) {
	work, err := os.MkdirTemp("", "whisperer-release-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(work)
	for _, program := range programs {
		if err := r.compile(filepath.Join(work, program), program, system, arch); err != nil {
			return nil, err
		}
		if err := writeBill(filepath.Join(work, program), work, r.version); err != nil {
			return nil, err
		}
	}
	for file, text := range documents {
		if err := os.WriteFile(filepath.Join(work, file), text, 0o600); err != nil {
			return nil, fmt.Errorf("write %s: %w", file, err)
		}
	}
	return r.pack(work, name)
}

// compile builds one program. -trimpath and -buildvcs=false keep the machine out of it; the version is ours to give.
func (r *release) compile(to, program, system, arch string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+r.version, //nolint:gosec // our own words
		"-o", to, fmt.Sprintf("./services/%s/cmd/%s", program, program))
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOWORK=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", program, err, said)
	}
	return nil
}

// document lets the program, built for this machine, write its man page and completions. They are for every platform.
func (r *release) document() (map[string][]byte, error) {
	work, err := os.MkdirTemp("", "whisperer-release-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, "whisperer")
	if err := r.compile(program, "whisperer", runtime.GOOS, runtime.GOARCH); err != nil {
		return nil, err
	}
	documents := map[string][]byte{}
	for file, args := range map[string][]string{
		"whisperer.1": {"manual", "man"}, "whisperer.bash": {"completion", "bash"}, "whisperer.zsh": {"completion", "zsh"},
		"whisperer.fish": {"completion", "fish"},
	} {
		if documents[file], err = exec.Command(program, args...).Output(); err != nil { //nolint:gosec // our own program
			return nil, fmt.Errorf("write %s: %w", file, err)
		}
	}
	for _, file := range []string{"LICENSE", "README.md"} {
		if documents[file], err = os.ReadFile(filepath.Join(r.root, file)); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return documents, nil
}

func (r *release) pack(work, name string) ([]byte, error) {
	var b bytes.Buffer
	zip, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	to := tar.NewWriter(zip)
	files, err := os.ReadDir(work) // in the order of their names
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	for _, f := range files {
		if err := r.add(to, filepath.Join(work, f.Name()), name+"/"+f.Name()); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name(), err)
		}
	}
	if err := to.Close(); err != nil {
		return nil, fmt.Errorf("end archive: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("end archive: %w", err)
	}
	return b.Bytes(), nil
}

func (r *release) add(to *tar.Writer, from, as string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if slices.Contains(programs, filepath.Base(from)) {
		mode = 0o755
	}
	header := &tar.Header{Name: as, Mode: int64(mode), Size: int64(len(content)), ModTime: r.time, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if err := to.WriteHeader(header); err != nil {
		return err
	}
	_, err = to.Write(content)
	return err
}
