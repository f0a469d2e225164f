package django

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// model is the hooks' name in `manage.py dumpdata`, in lower case.
	model = "whisperer.webhook"
	// table is their name in `pg_dump`.
	table = "whisperer_webhook"
	// maxDump bounds the size of a dump in bytes.
	maxDump = 1 << 30
)

// ErrNoHooks says that the dump contains no hooks.
var ErrNoHooks = errors.New("no " + model + " in it: make it with `manage.py dumpdata whisperer.webhook`, or with `pg_dump --data-only --table whisperer_webhook`")

// Read reads the hooks of a dump: Django's JSON (a list) or JSONL, or PostgreSQL's plain format with COPY. It ignores
// everything else in the dump. The error is ErrNoHooks, or says which row cannot be read.
func Read(from io.Reader) ([]Row, error) {
	in := bufio.NewReader(io.LimitReader(from, maxDump))
	first, err := firstByte(in)
	if err != nil {
		return nil, err
	}
	var rows []Row
	if first == '[' || first == '{' {
		rows, err = readJSON(in, first == '[')
	} else {
		rows, err = readCopy(in)
	}
	if err == nil && len(rows) == 0 {
		err = ErrNoHooks
	}
	return rows, err
}

// firstByte returns the first byte that is not white space, without consuming it.
func firstByte(in *bufio.Reader) (byte, error) {
	for {
		next, err := in.Peek(1)
		switch {
		case errors.Is(err, io.EOF):
			return 0, ErrNoHooks
		case err != nil:
			return 0, fmt.Errorf("read dump: %w", err)
		case strings.IndexByte(" \t\r\n", next[0]) < 0 && next[0] < 0x80:
			return next[0], nil
		}
		if _, err := in.Discard(1); err != nil { // white space, or a byte order mark
			return 0, fmt.Errorf("read dump: %w", err)
		}
	}
}

// object is an object in Django's dump.
type object struct {
	Model  string                     `json:"model"`
	PK     json.RawMessage            `json:"pk"`
	Fields map[string]json.RawMessage `json:"fields"`
}

func readJSON(in io.Reader, list bool) ([]Row, error) {
	d := json.NewDecoder(in)
	if list {
		if _, err := d.Token(); err != nil {
			return nil, fmt.Errorf("read dump: %w", err)
		}
	}
	var rows []Row
	for n := 1; d.More(); n++ {
		var o object
		if err := d.Decode(&o); err != nil {
			return nil, fmt.Errorf("read object %d of the dump: %w", n, err)
		}
		if !strings.EqualFold(o.Model, model) {
			continue
		}
		r, err := newRow(strings.Trim(string(o.PK), `"`), o.Fields)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// readCopy reads the rows between "COPY public.whisperer_webhook (id, …) FROM stdin;" and "\.".
func readCopy(in *bufio.Reader) ([]Row, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxDump)
	var rows []Row
	var columns []string
	for lines.Scan() {
		line := lines.Text()
		switch {
		case columns == nil:
			columns = copyColumns(line)
		case line == `\.`:
			columns = nil
		default:
			r, err := copyRow(columns, line)
			if err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read dump: %w", err)
	}
	if columns != nil {
		return nil, errors.New(`the dump ends within the rows of ` + table + `: \. is missing`)
	}
	return rows, nil
}

// copyColumns returns the columns that a line announces if the hooks' rows follow it, and nil for other lines.
func copyColumns(line string) []string {
	rest, ok := strings.CutPrefix(line, "COPY ")
	if !ok {
		return nil
	}
	name, rest, ok := strings.Cut(rest, " (")
	if !ok || unqualified(name) != table {
		return nil
	}
	list, _, ok := strings.Cut(rest, ")")
	if !ok {
		return nil
	}
	columns := strings.Split(list, ",")
	for i := range columns {
		columns[i] = strings.Trim(columns[i], ` "`)
	}
	return columns
}

func unqualified(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return strings.Trim(name, `"`)
}

func copyRow(columns []string, line string) (Row, error) {
	cells := strings.Split(line, "\t")
	if len(cells) != len(columns) {
		return Row{}, fmt.Errorf("a row of %s has %d columns in place of %d", table, len(cells), len(columns))
	}
	values := make(map[string]json.RawMessage, len(columns))
	pk := ""
	for i, cell := range cells {
		if cell == `\N` {
			continue
		}
		text := unescape(cell)
		if columns[i] == "id" {
			pk = text
		}
		quoted := &bytes.Buffer{}
		e := json.NewEncoder(quoted)
		e.SetEscapeHTML(false)
		if err := e.Encode(text); err != nil {
			return Row{}, fmt.Errorf("row %s: %s is not text", pk, columns[i])
		}
		values[columns[i]] = bytes.TrimSpace(quoted.Bytes())
	}
	return newRow(pk, values)
}

// unescape decodes COPY's escapes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := strings.Builder{}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'v':
			b.WriteByte('\v')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
