package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user that the server's programs run as.
type account struct {
	uid, gid int
	drop     bool // we are root and must switch to another user
}

// pickAccount returns our own account or, for root, the first of $SUDO_USER, postgres and nobody that exists.
func pickAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{os.Getenv("SUDO_USER"), "postgres", "nobody"} {
		if name == "" || name == "root" {
			continue
		}
		// initdb looks up its user, so an id without an entry in the user database does not work.
		entry, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(entry.Uid)
		gid, errGID := strconv.Atoi(entry.Gid)
		if errUID == nil && errGID == nil && uid != 0 {
			return account{uid, gid, true}, nil
		}
	}
	return account{}, errors.New("pick user for PostgreSQL: it refuses to run as root, and there is no user postgres " +
		"or nobody; start this program as another user, or use a PostgreSQL that runs already")
}

// keeperOf returns the account that owns an existing cluster, because PostgreSQL only runs for the owner. A folder of
// root's, which we made but which is no cluster yet, does not change the choice.
func (a account) keeperOf(cluster string) account {
	info, err := os.Stat(cluster)
	if err != nil || !a.drop {
		return a
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return account{int(owner.Uid), int(owner.Gid), true}
	}
	return a
}

// own changes the owner of a file, or of a folder and everything in it, to the account.
func (a account) own(dir string) error {
	if !a.drop {
		return nil
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return os.Lchown(dir, a.uid, a.gid)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(name, a.uid, a.gid)
	})
}

// makeDir creates a folder that only the account can use.
func (a account) makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return a.own(dir)
}

// reaches reports whether the account can enter the folder. Root's home, for example, is closed to others.
func (a account) reaches(ctx context.Context, dir string) (bool, error) {
	if !a.drop {
		return true, nil
	}
	look := exec.CommandContext(ctx, "/bin/sh", "-c", `cd "$1"`, "sh", dir)
	look.Dir, look.SysProcAttr = "/", a.attributes(0)
	err := look.Run()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	var refused *exec.ExitError
	if err != nil && !errors.As(err, &refused) {
		return false, fmt.Errorf("run a program as user %d: %w", a.uid, err)
	}
	return err == nil, nil
}

func (a account) credential() *syscall.Credential {
	if !a.drop {
		return nil
	}
	//nolint:gosec // the system gave these numbers as 32 bits
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}
