package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/lib/pq"
)

// PayloadFilter narrows a list by what is in the events' data, which is read at the time of asking: there is no index of
// it. Zero fields let everything pass.
type PayloadFilter struct {
	// Contains is JSON that the data has to contain, as the operator @> of jsonb has it.
	Contains json.RawMessage
	// Path is an SQL/JSON path that has to find something, such as $.package ? (@.awb == "1").
	Path string
	// Text has to be in the data as it was published.
	Text string
}

// Empty reports whether everything passes.
func (f *PayloadFilter) Empty() bool { return len(f.Contains) == 0 && f.Path == "" && f.Text == "" }

// conditions adds those of the column, data of events. Text comes first: it costs least.
func (f *PayloadFilter) conditions(c *clauses, column string) {
	if f.Text != "" {
		c.add("strpos("+column+", %s) > 0", f.Text)
	}
	if len(f.Contains) > 0 {
		if needle := longestString(f.Contains); needle != "" { // to look for text costs a quarter of reading JSON
			c.add("(strpos("+column+", %s) > 0 OR strpos("+column+", '\\') > 0)", needle)
		}
		c.add("whisperer_jsonb("+column+") @> whisperer_jsonb(%s)", string(f.Contains)) // null for what jsonb cannot hold: nothing has it
	}
	if f.Path != "" {
		c.fixed(finds("whisperer_jsonb("+column+")", c.arg(f.Path)))
	}
}

// finds is the condition that an SQL/JSON path finds something in JSON. A predicate such as $.a == 1, which finds a truth value in all
// JSON that there is, has to be true instead.
func finds(json, path string) string {
	return "CASE WHEN jsonb_path_query_first('{}', " + path + "::jsonpath, '{}', true) IN ('true', 'false', 'null') " +
		"THEN jsonb_path_match(" + json + ", " + path + "::jsonpath, '{}', true) ELSE jsonb_path_exists(" + json + ", " + path + "::jsonpath, '{}', true) END"
}

// longestString returns text that is in every JSON document that contains the given one, unless the document has an escape, which
// begins with a backslash; empty where there is none. It is the longest string of the values or, where there is none, of
// the keys: numbers can be written in many ways.
func longestString(contains json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(contains))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return "" // PostgreSQL says what is wrong with it
	}
	var value, key string
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case string:
			value = longer(value, v)
		case []any:
			for _, item := range v {
				visit(item)
			}
		case map[string]any:
			for name, item := range v {
				key = longer(key, name)
				visit(item)
			}
		}
	}
	visit(document)
	if value != "" {
		return `"` + value + `"`
	}
	if key != "" {
		return `"` + key + `"`
	}
	return ""
}

// longer returns the longer of two strings, where the second can be written in JSON without an escape only as it is.
func longer(a, b string) string {
	escaped := func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError }
	if len(b) < len(a) || len(b) == len(a) && b >= a || strings.ContainsFunc(b, escaped) {
		return a
	}
	return b
}

// ErrPath says that a PayloadFilter's path is no SQL/JSON path.
var ErrPath = errors.New("not an SQL/JSON path")

// pathError tells a path that cannot be read from other errors of a query.
func (f *PayloadFilter) pathError(err error) error {
	var pqErr *pq.Error
	if f.Path != "" && errors.As(err, &pqErr) && (pqErr.Code.Class() == "42" || pqErr.Code.Class() == "22" || pqErr.Code.Class() == "2F") {
		return ErrPath
	}
	return err
}
