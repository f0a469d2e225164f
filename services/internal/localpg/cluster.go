package localpg

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/whisperer-oms/whisperer/services/internal/filelock"
)

const (
	// superuser is the role that owns a new cluster.
	superuser = "whisperer"
	// passwordName is the file in a cluster with the superuser's password. TCP connections require it, because
	// everybody on the machine can open them. The socket is in a folder that only the server's user can enter.
	passwordName = "whisperer.password"
)

// makeCluster runs initdb as the account. The folder gets its final name only when it is complete.
func (b binaries) makeCluster(ctx context.Context, dir string, who account, extra ...string) error {
	part, password := dir+".part", dir+".password"
	if err := errors.Join(os.RemoveAll(part), os.RemoveAll(password)); err != nil {
		return fmt.Errorf("remove unfinished cluster: %w", err)
	}
	if err := who.makeDir(part); err != nil {
		return fmt.Errorf("make cluster folder: %w", err)
	}
	if err := os.WriteFile(password, []byte(rand.Text()+"\n"), 0o600); err != nil {
		return fmt.Errorf("write cluster password: %w", err)
	}
	if err := who.own(password); err != nil {
		return fmt.Errorf("give cluster password to user %d: %w", who.uid, err)
	}
	args := append([]string{
		"-D", part, "-U", superuser, "--pwfile", password, "--auth-local=trust", "--auth-host=scram-sha-256",
		"-E", "UTF8", "--locale=C", "--no-instructions",
	}, extra...)
	initdb := exec.CommandContext(ctx, b.path("initdb"), args...)
	initdb.Dir, initdb.Env, initdb.SysProcAttr = "/", environment(), who.attributes(0)
	initdb.WaitDelay = stopGrace
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb: %w\n%s", err, out)
	}
	if err := os.Rename(password, filepath.Join(part, passwordName)); err != nil {
		return fmt.Errorf("store cluster password: %w", err)
	}
	if err := os.Rename(part, dir); err != nil {
		return fmt.Errorf("name finished cluster: %w", err)
	}
	return nil
}

// keepCluster creates the cluster of a data folder, or checks that an existing one matches the version of the
// binaries.
func (b binaries) keepCluster(ctx context.Context, dir string, who account) error {
	have, err := os.ReadFile(filepath.Join(dir, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return b.makeCluster(ctx, dir, who)
	}
	if err != nil {
		return fmt.Errorf("read version of cluster: %w", err)
	}
	if major := strings.TrimSpace(string(have)); major != b.major {
		return fmt.Errorf("open cluster: %s was made by PostgreSQL %s, and %s has %s: set %s to the binaries of version %s, "+
			"or remove the folder to begin with an empty database", dir, major, b.dir, b.version, BinDirVariable, major)
	}
	return nil
}

// copyCluster makes a temporary cluster, as a copy of the cached template if there is a place for a cache.
func (b binaries) copyCluster(ctx context.Context, dir string, who account) error {
	// Small WAL files, because a template is copied often and would otherwise consist mostly of one empty file of 16
	// MB.
	options := []string{"--no-sync", "--wal-segsize=1"}
	template, err := b.template(ctx, who, options)
	if err != nil {
		return err
	}
	if template == "" {
		return b.makeCluster(ctx, dir, who, options...)
	}
	if err := os.CopyFS(dir, os.DirFS(template)); err != nil {
		return fmt.Errorf("copy template cluster: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close cluster folder: %w", err)
	}
	if err := who.own(dir); err != nil {
		return fmt.Errorf("give cluster to user %d: %w", who.uid, err)
	}
	return nil
}

// template returns the cached cluster for these binaries and creates it if necessary. It returns "" if nothing can be
// cached.
func (b binaries) template(ctx context.Context, who account, options []string) (string, error) {
	root, ok := cacheDir(ctx, who)
	if !ok {
		return "", nil
	}
	identity := fmt.Sprintf("1 %s %s %d %s", b.version, b.dir, who.uid, strings.Join(options, " "))
	dir := filepath.Join(root, fmt.Sprintf("%x", sha256.Sum256([]byte(identity)))[:16])
	lock, err := filelock.Wait(ctx, dir+lockSuffix)
	if err != nil {
		return "", fmt.Errorf("lock template cluster: %w", err)
	}
	defer lock.Release()
	if _, err := os.Stat(filepath.Join(dir, passwordName)); err == nil {
		return dir, nil
	}
	if err := b.makeCluster(ctx, dir, who, options...); err != nil {
		return "", err
	}
	return dir, nil
}

// cacheDir returns the folder for template clusters, if the system has a usable one; the cache is optional. It is
// never a folder in which other users could have planted one.
func cacheDir(ctx context.Context, who account) (string, bool) {
	root := "/var/cache"
	if !who.drop {
		own, err := os.UserCacheDir()
		if err != nil {
			return "", false
		}
		root = own
	}
	dir := filepath.Join(root, "whisperer", "postgres")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false
	}
	if reachable, err := who.reaches(ctx, dir); err != nil || !reachable {
		return "", false
	}
	probe, err := os.CreateTemp(dir, "probe-") // a read-only file system only fails here
	if err != nil {
		return "", false
	}
	return dir, errors.Join(probe.Close(), os.Remove(probe.Name())) == nil
}
