package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/whisperer-oms/whisperer/services/internal/filelock"
)

// ErrInUse says that another running program has a server on the data folder.
var ErrInUse = errors.New("data folder is in use by another running program")

const (
	// defaultFallbackDir holds clusters that could not be stored in their data folders.
	defaultFallbackDir = "/var/lib/whisperer"
	// noteName is the file in a data folder that says where its cluster is instead. The first line is the path.
	noteName = "POSTGRES-DATA-IS-ELSEWHERE.txt"
	// originName is the file in a relocated home that names its data folder.
	originName = "origin.txt"
)

// home is the folder of a kept cluster: the data folder, or the one that its note names.
type home struct {
	dir       string
	relocated bool
	locks     []*filelock.Lock
}

func openHome(ctx context.Context, dataDir, fallback string, who account) (*home, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	if fallback == "" {
		fallback = defaultFallbackDir
	}
	own, err := lockFolder(dataDir, dataDir)
	if err != nil {
		return nil, err
	}
	h, err := locate(ctx, dataDir, fallback, who)
	if err != nil {
		own.Release()
		return nil, err
	}
	h.locks = append(h.locks, own)
	if h.relocated { // the note may have been copied to another data folder
		there, err := lockFolder(h.dir, dataDir)
		if err != nil {
			own.Release()
			return nil, err
		}
		h.locks = append(h.locks, there)
	}
	return h, nil
}

func lockFolder(dir, dataDir string) (*filelock.Lock, error) {
	lock, err := filelock.Try(filepath.Join(dir, "lock"))
	if errors.Is(err, filelock.ErrHeld) {
		err = ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("open data folder %s: %w", dataDir, err)
	}
	return lock, nil
}

// locate returns the folder that the note names, or else the data folder, or else a new one elsewhere. Once created,
// a cluster stays where it is.
func locate(ctx context.Context, dataDir, fallback string, who account) (*home, error) {
	note, err := os.ReadFile(filepath.Join(dataDir, noteName))
	switch {
	case err == nil:
		first, _, _ := strings.Cut(string(note), "\n")
		if info, err := os.Stat(first); err != nil || !filepath.IsAbs(first) || !info.IsDir() {
			return nil, fmt.Errorf("open data folder: %s names %q, which is no folder; bring that folder back, or remove "+
				"the file to begin with an empty database", filepath.Join(dataDir, noteName), first)
		}
		return &home{dir: first, relocated: true}, nil
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("read note in data folder: %w", err)
	}
	reachable, err := who.reaches(ctx, dataDir)
	if err != nil {
		return nil, err
	}
	h := &home{dir: dataDir}
	if reachable {
		return h, nil
	}
	if _, err := os.Stat(h.cluster()); err == nil {
		return nil, fmt.Errorf("open data folder: user %d, whom PostgreSQL runs as, cannot enter %s, where the cluster is: "+
			"open the folder to it, or start this program as another user", who.uid, dataDir)
	}
	return relocate(ctx, dataDir, fallback, who)
}

// relocate creates a home that the server's user can reach, and writes the note. The folder's name is random and only
// the note refers to it. So an emptied or copied data folder never picks up a cluster that is not its own.
func relocate(ctx context.Context, dataDir, fallback string, who account) (*home, error) {
	if err := os.MkdirAll(fallback, 0o755); err != nil {
		return nil, fmt.Errorf("make folder for the cluster of %s, which user %d cannot reach: %w", dataDir, who.uid, err)
	}
	sweepHomes(fallback)
	dir, err := os.MkdirTemp(fallback, "postgres-")
	if err != nil {
		return nil, fmt.Errorf("make folder for the cluster of %s, which user %d cannot reach: %w", dataDir, who.uid, err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // the server's user passes through it to its own folder
		return nil, fmt.Errorf("open %s to user %d: %w", dir, who.uid, err)
	}
	reachable, err := who.reaches(ctx, dir)
	if err == nil && !reachable {
		err = fmt.Errorf("user %d, whom PostgreSQL runs as, can reach neither %s nor %s: choose a data folder outside "+
			"root's home, or start this program as another user", who.uid, dataDir, fallback)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.WriteFile(filepath.Join(dir, originName), []byte(dataDir+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write origin of relocated cluster: %w", err)
	}
	note := dir + "\n\nPostgreSQL does not run as root, and the user it runs as cannot enter this folder,\n" +
		"so the data is kept at the path above. Remove both to begin with an empty database.\n"
	if err := os.WriteFile(filepath.Join(dataDir, noteName), []byte(note), 0o600); err != nil {
		return nil, fmt.Errorf("write note in data folder: %w", err)
	}
	return &home{dir: dir, relocated: true}, nil
}

// sweepHomes removes relocated homes of temporary data folders whose note is gone. It keeps others, because their
// data folder may have been moved, or may be on a disk that is not mounted now.
func sweepHomes(fallback string) {
	origins, _ := filepath.Glob(filepath.Join(fallback, "postgres-*", originName)) // Glob only fails for a malformed pattern
	for _, name := range origins {
		dir := filepath.Dir(name)
		if !abandoned(dir) {
			continue
		}
		lock, err := filelock.Try(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir) // if that fails, the next sweep tries again
		lock.Release()
	}
}

func abandoned(dir string) bool {
	content, err := os.ReadFile(filepath.Join(dir, originName))
	origin := strings.TrimSpace(string(content))
	if err != nil || !strings.HasPrefix(origin, os.TempDir()+string(filepath.Separator)) {
		return false
	}
	note, err := os.ReadFile(filepath.Join(origin, noteName))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	first, _, _ := strings.Cut(string(note), "\n")
	return first != dir
}

// cluster returns the folder of a kept cluster.
func (h *home) cluster() string { return filepath.Join(h.dir, "cluster") }

func (h *home) release() {
	for _, lock := range h.locks {
		lock.Release()
	}
}
