// Package reconcile compares what was sent to a hook with what its receiver has. Either side may be larger than
// memory: both are distributed over files by the ids, which are hashes, and compared file by file.
package reconcile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// buckets is the number of files per side.
	buckets = 64
	// buffer is the size of each file's write buffer in bytes.
	buffer = 16 << 10
)

// Difference is what is wrong with a delivery.
type Difference string

// The differences.
const (
	// Lacking: it was sent, or given up, and the receiver does not have it.
	Lacking Difference = "lacking"
	// OtherBytes: the receiver has it with a body that was never sent.
	OtherBytes Difference = "other_bytes"
	// Twice: the receiver has it more than once.
	Twice Difference = "twice"
)

// Finding is a delivery with a difference.
type Finding struct {
	Difference Difference `json:"difference"`
	api.ManifestLine

	// Times is how often the receiver has it.
	Times int `json:"times"`
}

// Counts are numbers of deliveries; Received counts the receiver's entries.
type Counts struct {
	Sent     int `json:"sent"`
	Received int `json:"received"`
	// Same counts deliveries that both sides have, with the same bytes as far as these are known.
	Same       int `json:"same"`
	Lacking    int `json:"lacking"`
	OtherBytes int `json:"other_bytes"`
	Twice      int `json:"twice"`
	// Underway counts waiting and parked deliveries, which are still to come. NotSent counts cancelled or superseded
	// ones that the receiver does not have.
	Underway int `json:"underway"`
	NotSent  int `json:"not_sent"`
	// Unknown counts those in Same whose bytes could not be compared.
	Unknown int `json:"unknown_bytes"`
	// Foreign counts the receiver's entries that are not in the manifest: they belong to another hook or time.
	Foreign int `json:"foreign"`
}

// Comparison takes both sides and then reports the differences.
type Comparison struct {
	dir            string
	sent, received [buckets]*side
	counts         Counts
}

type side struct {
	file *os.File
	*bufio.Writer
}

// New returns a comparison with files in a new folder, which Close removes.
func New() (*Comparison, error) {
	dir, err := os.MkdirTemp("", "whisperer-reconcile-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	c := &Comparison{dir: dir}
	for i := range buckets {
		for name, to := range map[string]**side{"sent": &c.sent[i], "received": &c.received[i]} {
			file, err := os.Create(filepath.Join(dir, fmt.Sprint(name, i)))
			if err != nil {
				return nil, errors.Join(fmt.Errorf("make file: %w", err), c.Close())
			}
			*to = &side{file, bufio.NewWriterSize(file, buffer)}
		}
	}
	return c, nil
}

// Close removes the files.
func (c *Comparison) Close() error {
	for i := range buckets {
		for _, s := range []*side{c.sent[i], c.received[i]} {
			if s != nil {
				_ = s.file.Close() // they are removed, so errors do not matter
			}
		}
	}
	return os.RemoveAll(c.dir)
}

// Sent adds a line of the manifest.
func (c *Comparison) Sent(line *api.ManifestLine) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	c.counts.Sent++
	_, err = c.sent[bucketOf(line.WebhookID)].Write(append(text, '\n'))
	return err
}

// Received adds an entry of the receiver's inbox: its webhook-id, and the SHA-256 of the body in hexadecimal, or ""
// if unknown.
func (c *Comparison) Received(id, digest string) error {
	c.counts.Received++
	parsed, err := uuid.Parse(strings.TrimSpace(id))
	if err != nil { // another sender's
		c.counts.Foreign++
		return nil //nolint:nilerr // nothing of ours, and no mistake
	}
	_, err = fmt.Fprintf(c.received[bucketOf(parsed)], "%s %s\n", parsed, strings.ToLower(strings.TrimSpace(digest)))
	return err
}

func bucketOf(id uuid.UUID) int { return int(id[0]) % buckets }

// Compare passes each difference to tell, and returns the counts.
func (c *Comparison) Compare(tell func(*Finding) error) (Counts, error) {
	for i := range buckets {
		if err := c.compare(i, tell); err != nil {
			return c.counts, err
		}
	}
	return c.counts, nil
}

// entry is what is known about a delivery.
type entry struct {
	line  api.ManifestLine
	times int
	// other says that an entry has a body that was never sent, and unknown that an entry's body could not be
	// compared.
	other, unknown bool
}

func (c *Comparison) compare(bucket int, tell func(*Finding) error) error {
	entries := map[uuid.UUID]*entry{}
	var order []uuid.UUID
	err := c.sent[bucket].lines(func(text []byte) error {
		e := &entry{}
		if err := json.Unmarshal(text, &e.line); err != nil {
			return err
		}
		if _, there := entries[e.line.WebhookID]; !there { // an event id that was used again yields the same delivery id
			order = append(order, e.line.WebhookID)
		}
		entries[e.line.WebhookID] = e
		return nil
	})
	if err != nil {
		return err
	}
	err = c.received[bucket].lines(func(text []byte) error {
		id, digest, _ := strings.Cut(string(text), " ")
		if e := entries[uuid.MustParse(id)]; e != nil {
			e.receive(digest)
		} else {
			c.counts.Foreign++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range order {
		for _, difference := range c.judge(entries[id]) {
			if err := tell(&Finding{Difference: difference, ManifestLine: entries[id].line, Times: entries[id].times}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *entry) receive(digest string) {
	e.times++
	known := e.line.Digest != nil
	switch {
	case digest == "" || !known:
		e.unknown = true
	case digest == *e.line.Digest || slices.Contains(e.line.OtherDigests, digest):
	case e.line.UnknownBodies > 0:
		e.unknown = true
	default:
		e.other = true
	}
}

// judge counts a delivery and says what is wrong with it.
func (c *Comparison) judge(e *entry) (differences []Difference) {
	if e.times > 1 {
		c.counts.Twice++
		differences = append(differences, Twice)
	}
	switch {
	case e.other:
		c.counts.OtherBytes++
		return append(differences, OtherBytes)
	case e.times > 0:
		c.counts.Same++
		if e.unknown {
			c.counts.Unknown++
		}
		return differences
	}
	switch e.line.State {
	case webhook.Waiting, webhook.Parked:
		c.counts.Underway++
	case webhook.Cancelled, webhook.Superseded:
		c.counts.NotSent++
	default:
		c.counts.Lacking++
		return append(differences, Lacking)
	}
	return differences
}

// lines reads what was written from the beginning.
func (s *side) lines(take func(text []byte) error) error {
	if err := s.Flush(); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	lines := bufio.NewScanner(s.file)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := take(lines.Bytes()); err != nil {
			return fmt.Errorf("read file: %w", err)
		}
	}
	return lines.Err()
}
