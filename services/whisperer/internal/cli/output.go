package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// table is rows of cells in aligned columns.
type table struct{ w *tabwriter.Writer }

func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = oneLine(cell)
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

// print writes v as JSON where --json was given, else the table that rows fills.
func (a *app) print(v any, rows func(table)) error {
	if a.JSON {
		e := json.NewEncoder(a.Out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	rows(table{w})
	return w.Flush()
}

// oneLine keeps stored text from breaking a table or steering the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// readJSON reads a flag's JSON: as it stands, from a file (@name) or from standard input (-).
func (a *app) readJSON(flag, value string) (json.RawMessage, error) {
	raw := []byte(value)
	var err error
	name, isFile := strings.CutPrefix(value, "@")
	switch {
	case value == "-":
		raw, err = io.ReadAll(a.In)
	case isFile:
		raw, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, usage("--%s: %s", flag, err)
	}
	raw = bytes.TrimSpace(raw)
	if !json.Valid(raw) {
		return nil, usage("--%s: is not JSON (give JSON, @FILE or - for standard input)", flag)
	}
	return raw, nil
}
