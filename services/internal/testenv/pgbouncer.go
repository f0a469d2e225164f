package testenv

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/freeport"
)

// PgBouncer starts PgBouncer in the given pool mode for the database at the URL, and returns the URL that leads
// through it.
func PgBouncer(tb testing.TB, database, mode string) string {
	tb.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer"
	}
	u, err := url.Parse(database)
	if err != nil {
		tb.Fatalf("read URL of the test's database: %v", err)
	}
	free, err := freeport.Find(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	port := strconv.Itoa(free)
	dir, err := os.MkdirTemp("", "whisperer-pgbouncer-") //nolint:usetesting // the user that it runs as has to enter it
	if err != nil {
		tb.Fatalf("make folder: %v", err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := cmp.Or(u.User.Username(), u.Query().Get("user"))
	password, _ := u.User.Password()
	host, at := u.Hostname(), u.Port()
	if socket := u.Query().Get("host"); socket != "" {
		host, at = socket, u.Query().Get("port")
	}
	config := fmt.Sprintf("[databases]\n* = host=%s port=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\n"+
		"unix_socket_dir =\nauth_type = any\npool_mode = %s\nignore_startup_parameters = extra_float_digits\n",
		host, at, name, cmp.Or(password, u.Query().Get("password"), "none"), port, mode)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		tb.Fatalf("write configuration: %v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
		tb.Fatalf("open folder: %v", err)
	}
	args := []string{file}
	if os.Geteuid() == 0 { // it refuses to run as root
		args = []string{"-u", owner(), file}
	}
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start pgbouncer (scripts/deps.sh installs it): %v", err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	through := url.URL{Scheme: "postgres", User: url.User(name), Host: "127.0.0.1:" + port, Path: u.Path, RawQuery: "sslmode=disable"}
	for range 2400 {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(tb.Context(), "tcp", through.Host)
		if err == nil {
			_ = conn.Close()
			return through.String()
		}
		<-time.After(50 * time.Millisecond)
	}
	tb.Fatal("pgbouncer does not answer")
	return ""
}

// owner returns the user that runs PostgreSQL when the tests run as root; only that user may enter its folder.
func owner() string {
	if _, err := user.Lookup("postgres"); err == nil {
		return "postgres"
	}
	return "nobody"
}
