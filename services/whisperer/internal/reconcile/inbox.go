package reconcile

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxLine bounds a line of an inbox, in bytes: a body of 1 MiB, escaped.
const maxLine = 8 << 20

// idNames are what an inbox may call webhook-id; delivery_id is what `whisperer listen --json` prints.
var idNames = []string{"webhook-id", "webhook_id", "delivery_id"}

const (
	digestName = "digest"
	bodyName   = "body"
)

// ReadInbox reads JSON objects on lines (NDJSON), or comma-separated values with a head, and hands each entry to take: webhook-id and
// the digest of the body. An entry has webhook-id (or webhook_id, or delivery_id), and may have digest, the SHA-256 of the body in
// hexadecimal digits, or body, its text.
func ReadInbox(in io.Reader, take func(id, digest string) error) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		first, err := r.Peek(1)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read inbox: %w", err)
		case strings.ContainsRune(" \t\r\n", rune(first[0])):
			_, _ = r.Discard(1)
		case first[0] == '{':
			return readJSON(r, take)
		default:
			return readCSV(r, take)
		}
	}
}

func readJSON(r io.Reader, take func(id, digest string) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(lines.Bytes(), &members); err != nil {
			return fmt.Errorf("line %d of the inbox is no JSON object: %w", n, err)
		}
		values := map[string]string{}
		for _, name := range append(slices.Clone(idNames), digestName, bodyName) {
			raw, there := members[name]
			if !there || string(raw) == "null" {
				continue
			}
			var text string
			if json.Unmarshal(raw, &text) != nil { // an object would have to be written as it came, byte by byte
				return fmt.Errorf("line %d of the inbox: %s must be a string", n, name)
			}
			values[name] = text
		}
		if err := takeEntry(n, values, take); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read inbox: %w", err)
	}
	return nil
}

func readCSV(r io.Reader, take func(id, digest string) error) error {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil {
		return fmt.Errorf("read head of the inbox: %w", err)
	}
	names := slices.Clone(head)
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(names[i], "\ufeff")))
	}
	if !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(idNames, name) }) {
		return fmt.Errorf("the inbox is neither JSON on lines nor comma-separated values with a column %s", strings.Join(idNames, ", "))
	}
	for n := 2; ; n++ {
		row, err := rows.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read inbox: %w", err)
		}
		values := map[string]string{}
		for i, value := range row {
			if value != "" {
				values[names[i]] = value
			}
		}
		if err := takeEntry(n, values, take); err != nil {
			return err
		}
	}
}

func takeEntry(n int, values map[string]string, take func(id, digest string) error) error {
	id := ""
	for _, name := range idNames {
		if id == "" {
			id = values[name]
		}
	}
	if id == "" {
		return fmt.Errorf("line %d of the inbox has no %s", n, strings.Join(idNames, ", "))
	}
	digest := strings.ToLower(strings.TrimSpace(values[digestName]))
	if digest != "" && !IsDigest(digest) {
		return fmt.Errorf("line %d of the inbox: digest must be a SHA-256, 64 hexadecimal digits", n)
	}
	if body, there := values[bodyName]; there && digest == "" {
		sum := sha256.Sum256([]byte(body))
		digest = hex.EncodeToString(sum[:])
	}
	return take(id, digest)
}

// IsDigest reports whether the text is a SHA-256 in hexadecimal digits.
func IsDigest(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size
}
