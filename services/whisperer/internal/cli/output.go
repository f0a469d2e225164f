package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/itchyny/gojq"
)

// print writes v as JSON if --json or --jq was given, and otherwise the table that fill fills.
func (a *app) print(v any, fill func(*table)) error {
	switch {
	case a.CSV && (a.asJSON() || a.NDJSON), a.NDJSON && a.asJSON():
		return usage("--csv, --ndjson, --json and --jq: only one of them can be given")
	case a.NDJSON:
		return a.encodeLines(v)
	case a.asJSON():
		if len(a.Columns) > 0 {
			return usage("--columns: is for tables; --jq chooses from JSON")
		}
		return a.encode(v, "  ")
	}
	t := &table{}
	fill(t)
	if a.CSV {
		return t.writeCSV(a.Out, a.Columns)
	}
	width := a.Width
	if a.Wide {
		width = 0
	}
	if err := t.choose(a.Columns, width > 0); err != nil {
		return err
	}
	if len(t.rows) == 0 && width > 0 {
		a.done("nothing found")
		return nil
	}
	return t.write(a.Out, width)
}

// encodeLines writes the elements of a list as JSON, one per line.
func (a *app) encodeLines(v any) error {
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return usage("--ndjson: this is no list")
	}
	e := json.NewEncoder(a.Out)
	e.SetEscapeHTML(false)
	for i := range list.Len() {
		if err := e.Encode(list.Index(i).Interface()); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
	}
	return nil
}

// asJSON reports whether the output is for programs.
func (a *app) asJSON() bool { return a.JSON || a.JQ != "" }

// encode writes v as JSON, or the results of --jq: strings unquoted, and anything else as JSON, one per line.
func (a *app) encode(v any, indent string) error {
	e := json.NewEncoder(a.Out)
	e.SetEscapeHTML(false)
	if a.JQ == "" {
		e.SetIndent("", indent)
		return e.Encode(v)
	}
	query, err := gojq.Parse(a.JQ)
	if err != nil {
		return usage("--jq: %s", err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	var input any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // keeps the notation of numbers
	if err := d.Decode(&input); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	results := query.Run(input)
	for {
		switch result, more := results.Next(); result := result.(type) {
		case error:
			return fmt.Errorf("--jq: %w", result)
		case string:
			fmt.Fprintln(a.Out, result)
		default:
			if !more {
				return nil
			}
			if err := e.Encode(result); err != nil {
				return fmt.Errorf("encode: %w", err)
			}
		}
	}
}

// oneLine prevents stored text from breaking a table or controlling the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// dateLayout is the format of times in tables, in UTC.
const dateLayout = "2006-01-02 15:04:05Z"

func date(t time.Time) string { return t.UTC().Format(dateLayout) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// readJSON reads the JSON of a flag: the value itself, a file (@name) or standard input (-).
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
