package localpg

import (
	"slices"
	"sync"
)

// logTail keeps the last 16 KiB of the server's log for error messages.
type logTail struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer; it never fails.
func (t *logTail) Write(p []byte) (int, error) {
	const most = 16 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - most; extra > 0 {
		t.text = slices.Delete(t.text, 0, extra)
	}
	return len(p), nil
}

// String returns what was kept.
func (t *logTail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
