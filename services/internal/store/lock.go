package store

import (
	"fmt"

	"github.com/pressly/goose/v3/lock"
)

// newLocker makes migrations of several programs that start at once wait for each other (an advisory lock).
func newLocker() (lock.SessionLocker, error) {
	l, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("make migration lock: %w", err)
	}
	return l, nil
}
