package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/signature"
)

// ErrIncomplete says that a manifest broke off, or is not what its last line says of it.
var ErrIncomplete = errors.New("manifest is not complete")

// maxManifestLine bounds a line of a manifest, in bytes.
const maxManifestLine = 1 << 20

// Manifest is the end of a manifest whose lines were all read.
type Manifest struct {
	api.ManifestSummary

	End api.ManifestEnd
}

// Verify reports whether one of the keys signed the manifest, at most tolerance ago. The errors are those of signature.Verify.
func (m *Manifest) Verify(keys []signature.VerifyKey, now time.Time, tolerance time.Duration) error {
	header := http.Header{}
	header.Set(signature.HeaderID, m.End.ID)
	header.Set(signature.HeaderTimestamp, m.End.Timestamp)
	header.Set(signature.HeaderSignature, m.End.Signature)
	return signature.Verify(header, []byte(m.End.Summary), keys, now, tolerance)
}

// Manifest reads what was sent to a hook of the events that were published in the range, and hands each line to take, oldest first.
// A zero to is a minute ago, and a zero from a day before to. It is read as it comes, however long it is: ctx bounds it, not the
// client's timeout. The error is ErrIncomplete where the lines are not what the last one says, take's, or as of other calls.
func (c Hooks) Manifest(ctx context.Context, hook uuid.UUID, from, to time.Time, take func(*api.ManifestLine) error) (Manifest, error) {
	var m Manifest
	query := queryOf(struct {
		From time.Time `query:"from"`
		To   time.Time `query:"to"`
	}{from, to})
	answer, err := c.stream(ctx, request{method: http.MethodGet, path: hookPath(hook, "manifest/"), query: query})
	if err != nil {
		return m, err
	}
	defer answer.Body.Close()
	all, count := sha256.New(), 0
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxManifestLine)
	for lines.Scan() {
		text := lines.Bytes()
		if !bytes.HasPrefix(text, []byte(`{"webhook_id":`)) {
			return m, m.finish(text, count, hex.EncodeToString(all.Sum(nil)))
		}
		var line api.ManifestLine
		if err := json.Unmarshal(text, &line); err != nil {
			return m, fmt.Errorf("%w: read line %d: %w", ErrIncomplete, count+1, err)
		}
		_, _ = all.Write(text)
		_, _ = all.Write([]byte{'\n'})
		count++
		if err := take(&line); err != nil {
			return m, err
		}
	}
	return m, fmt.Errorf("%w: it breaks off after %d lines: %w", ErrIncomplete, count, errors.Join(ErrUnavailable, lines.Err()))
}

// finish reads the last line and compares what it says with what was read.
func (m *Manifest) finish(text []byte, count int, digest string) error {
	if err := json.Unmarshal(text, &m.End); err != nil {
		return fmt.Errorf("%w: its last line cannot be read: %w", ErrIncomplete, err)
	}
	if m.End.Error != "" {
		return fmt.Errorf("%w: it breaks off after %d lines: %s %w", ErrIncomplete, count, m.End.Error, ErrUnavailable)
	}
	if err := json.Unmarshal([]byte(m.End.Summary), &m.ManifestSummary); err != nil {
		return fmt.Errorf("%w: its summary cannot be read: %w", ErrIncomplete, err)
	}
	if m.Count != count || m.Digest != digest {
		return fmt.Errorf("%w: it has %d lines and the digest %s, and says that these are %d and %s", ErrIncomplete, count, digest, m.Count, m.Digest)
	}
	return nil
}
