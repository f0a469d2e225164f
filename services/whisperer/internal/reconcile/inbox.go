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

// maxLine bounds a line of an inbox in bytes: an escaped body of 1 MiB.
const maxLine = 8 << 20

// errNoInbox says that the format is unknown.
var errNoInbox = errors.New("the inbox is neither JSON on lines nor comma-separated values with a column " + strings.Join(idNames, ", "))

const byteOrderMark = "\ufeff"

// idNames are the accepted names of webhook-id; `whisperer listen --json` prints delivery_id.
var idNames = []string{"webhook-id", "webhook_id", "delivery_id"}

const (
	digestName = "digest"
	bodyName   = "body"
)

// ReadInbox reads JSON objects, one per line (NDJSON), or comma-separated values with a header line. It passes each
// entry to take: its webhook-id and the digest of its body. An entry has webhook-id (or webhook_id, or delivery_id).
// It may have digest, the SHA-256 of the body in hexadecimal, or body, its text.
func ReadInbox(in io.Reader, take func(id, digest string) error) error {
	r := bufio.NewReaderSize(in, 64<<10)
	if mark, _ := r.Peek(len(byteOrderMark)); string(mark) == byteOrderMark { // some systems begin all files with one
		_, _ = r.Discard(len(byteOrderMark))
	}
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
			if json.Unmarshal(raw, &text) != nil { // an object would not have the exact bytes of the body
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

func readCSV(r *bufio.Reader, take func(id, digest string) error) error {
	rows := csv.NewReader(&keeper{from: r})
	rows.ReuseRecord = true
	head, err := rows.Read()
	if err != nil {
		return fmt.Errorf("%w: %w", errNoInbox, err)
	}
	names := slices.Clone(head)
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSpace(names[i]))
	}
	if !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(idNames, name) }) {
		return errNoInbox
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

// keeper preserves line ends within quotes: encoding/csv would convert \r\n to \n, which would change the body. It
// doubles each \r, one of which encoding/csv then removes.
type keeper struct {
	from           *bufio.Reader
	quoted, double bool
}

// Read implements io.Reader.
func (k *keeper) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if k.double {
			p[n], k.double = '\r', false
			n++
			continue
		}
		b, err := k.from.ReadByte()
		if err != nil {
			return n, err
		}
		switch {
		case b == '"': // a doubled quote ends and restarts the quoted part
			k.quoted = !k.quoted
		case b == '\r' && k.quoted:
			next, _ := k.from.Peek(1)
			k.double = string(next) == "\n"
		}
		p[n] = b
		n++
	}
	return n, nil
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

// IsDigest reports whether the text is a SHA-256 in hexadecimal.
func IsDigest(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size
}
