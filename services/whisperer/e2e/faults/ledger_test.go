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
	Sent  time.Time `json:"sent"` // when the try began that was acknowledged
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
	// Status is what the receiver answered if all went well; 0 for nothing.
	Status int `json:"status"`
	// Faulty says what was wrong with the signature.
	Faulty string `json:"faulty,omitempty"`
	// Untimely says that the signature is right, but its time is not.
	Untimely bool `json:"untimely,omitempty"`
}

// ledger is a file of JSON lines. What is in it counts, whatever happens to the processes.
type ledger[T any] struct {
	mu     sync.Mutex
	file   *os.File
	strict bool // sync before write returns; many writers share one sync

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

// write returns when the line is in the file, and on disk where the ledger is strict.
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

// len counts the lines that are safe.
func (l *ledger[T]) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// size is how long the file is.
func (l *ledger[T]) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		panic(err)
	}
	return at
}

// read returns what is in the file.
func (l *ledger[T]) read(t *testing.T) []T {
	t.Helper()
	return l.after(t, 0)
}

// after returns what was written since the file had the size.
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
