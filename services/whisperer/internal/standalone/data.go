package standalone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// Names in the data folder. The CLI reads token and url.
const (
	lockFile  = "lock"
	keyFile   = "master.key"
	tokenFile = "token"
	urlFile   = "url"
	demoFile  = "demo.json"
	logFile   = "whisperer.log"
	natsDir   = "nats"
	pgDir     = "pg"
)

// ErrInUse says that another program uses the data folder.
var ErrInUse = errors.New("is in use by another whisperer standalone")

// folder is the locked data folder. Its contents are secret, so only the owner can access it and its files.
type folder struct {
	dir  string
	lock *os.File
}

// openFolder creates the folder if it is missing and locks it (with flock(2), so the lock ends with the process).
func openFolder(dir string) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	// 0711, because PostgreSQL may run as another user, who has to pass through.
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	return &folder{dir: dir, lock: lock}, nil
}

func (f *folder) close() { _ = f.lock.Close() }

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// read returns a file's text without surrounding white space, or "" if there is no file.
func (f *folder) read(name string) (string, error) {
	text, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// write replaces a file atomically: after a crash it has either the old text or the new one.
func (f *folder) write(name, text string) error {
	temporary := f.path(name + ".new")
	if err := writeSynced(temporary, text+"\n"); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(temporary, f.path(name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func writeSynced(path, text string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// masterKey returns the key that seals secrets in the database. It is created at the first start.
func (f *folder) masterKey() (string, error) {
	key, err := f.read(keyFile)
	if err != nil || key != "" {
		return key, err
	}
	key = seal.NewKey()
	return key, f.write(keyFile, key)
}

// demoState is what the demo remembers between starts.
type demoState struct {
	// Port is where the demo receiver listened.
	Port  int        `json:"port"`
	Hooks []demoHook `json:"hooks"`
}

func (f *folder) demo() (demoState, error) {
	var d demoState
	text, err := f.read(demoFile)
	if err != nil || text == "" {
		return d, err
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, fmt.Errorf("read %s: %w", demoFile, err)
	}
	return d, nil
}

func (f *folder) saveDemo(d demoState) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write %s: %w", demoFile, err)
	}
	return f.write(demoFile, string(text))
}
