//go:build faults

package faults_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// publication is an event that JetStream has acknowledged.
type publication struct {
	Event string    `json:"event"`
	Sent  time.Time `json:"sent"` // when the acknowledged try began
	Acked time.Time `json:"acked"`
}

// receipt is a request that a receiver got.
type receipt struct {
	ID      string    `json:"id"` // webhook-id
	Hook    string    `json:"hook"`
	Event   string    `json:"event"`
	Attempt string    `json:"attempt"`
	Sum     string    `json:"sum"` // SHA-256 of the body
	At      time.Time `json:"at"`
	// Status is the status of the response; 0 for none.
	Status int `json:"status"`
	// Faulty says what is wrong with the signature.
	Faulty string `json:"faulty,omitempty"`
	// Untimely reports that the signature is valid, but its time is off.
	Untimely bool `json:"untimely,omitempty"`
}

// ledger is a file of JSON lines, which survives the death of any process.
type ledger[T any] struct {
	mu     sync.Mutex
	file   *os.File
	strict bool // sync before write returns; concurrent writers share one sync

	syncing sync.Mutex
	written int64
	synced  int64
	n       int
}

func newLedger[T any](t *testing.T, path string, strict bool) *ledger[T] {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return &ledger[T]{file: file, strict: strict}
}

// write returns when the line is in the file, and, if the ledger is strict, on disk.
func (l *ledger[T]) write(entry T) {
	line, err := json.Marshal(entry)
	if err != nil {
		panic(err)
	}
	l.mu.Lock()
	_, err = l.file.Write(append(line, '\n'))
	l.written++
	mine := l.written
	l.mu.Unlock()
	if err != nil {
		panic(err)
	}
	if l.strict {
		l.sync(mine)
	}
	l.mu.Lock()
	l.n++
	l.mu.Unlock()
}

func (l *ledger[T]) sync(mine int64) {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced >= mine {
		return
	}
	l.mu.Lock()
	all := l.written
	l.mu.Unlock()
	if err := l.file.Sync(); err != nil {
		panic(err)
	}
	l.synced = all
}

// len returns the number of lines that are safe.
func (l *ledger[T]) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// size returns the size of the file.
func (l *ledger[T]) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		panic(err)
	}
	return at
}

// read returns all entries of the file.
func (l *ledger[T]) read(t *testing.T) []T {
	t.Helper()
	return l.after(t, 0)
}

// after returns the entries that were written since the file had the size.
func (l *ledger[T]) after(t *testing.T, size int64) []T {
	t.Helper()
	file, err := os.Open(l.file.Name())
	require.NoError(t, err)
	defer file.Close()
	var list []T
	scanner := bufio.NewScanner(io.NewSectionReader(file, size, l.size()-size))
	for scanner.Scan() {
		var entry T
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &entry))
		list = append(list, entry)
	}
	require.NoError(t, scanner.Err())
	return list
}
