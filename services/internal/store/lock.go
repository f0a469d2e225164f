package store

import (
	"fmt"

	"github.com/pressly/goose/v3/lock"
)

// newLocker returns an advisory lock that serializes the migrations of programs that start at the same time.
func newLocker() (lock.SessionLocker, error) {
	l, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, fmt.Errorf("make migration lock: %w", err)
	}
	return l, nil
}
