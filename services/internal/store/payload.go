package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/lib/pq"
)

// PayloadFilter narrows a list by the events' data. There is no index on the data: it is read during the query. Zero fields do
// not restrict the list.
type PayloadFilter struct {
	// Contains is JSON that the data must contain, as defined by the operator @> of jsonb.
	Contains json.RawMessage
	// Path is an SQL/JSON path that must find something, such as $.package ? (@.awb == "1").
	Path string
	// Text must occur in the data as published.
	Text string
}

// Empty reports whether the filter accepts everything.
func (f *PayloadFilter) Empty() bool { return len(f.Contains) == 0 && f.Path == "" && f.Text == "" }

// conditions adds the conditions on the column, data of events. Text comes first, because it is the fastest.
func (f *PayloadFilter) conditions(c *clauses, column string) {
	if f.Text != "" {
		c.add("strpos("+column+", %s) > 0", f.Text)
	}
	if len(f.Contains) > 0 {
		if needle := longestString(f.Contains); needle != "" { // searching for text takes a quarter of the time of parsing JSON
			c.add("(strpos("+column+", %s) > 0 OR strpos("+column+", '\\') > 0)", needle)
		}
		c.add("whisperer_jsonb("+column+") @> whisperer_jsonb(%s)", string(f.Contains)) // null, and no match, if jsonb cannot hold it
	}
	if f.Path != "" {
		c.fixed(finds("whisperer_jsonb("+column+")", c.arg(f.Path)))
	}
}

// finds returns the condition that an SQL/JSON path finds something. A path that is a predicate, such as $.a == 1, finds a
// truth value in any JSON; the condition is then that the predicate is true.
func finds(json, path string) string {
	return "CASE WHEN jsonb_path_query_first('{}', " + path + "::jsonpath, '{}', true) IN ('true', 'false', 'null') " +
		"THEN jsonb_path_match(" + json + ", " + path + "::jsonpath, '{}', true) ELSE jsonb_path_exists(" + json + ", " + path + "::jsonpath, '{}', true) END"
}

// longestString returns a string that occurs in every JSON document that contains the given one, unless the document has an
// escape, which begins with a backslash. It returns the longest string among the values or, if there is none, among the keys,
// and "" if there is none either. Numbers are ignored, because they can be written in many ways.
func longestString(contains json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(contains))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil {
		return "" // PostgreSQL reports the error
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

// longer returns the longer of two strings. It ignores b if JSON needs an escape to write it.
func longer(a, b string) string {
	escaped := func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError }
	if len(b) < len(a) || len(b) == len(a) && b >= a || strings.ContainsFunc(b, escaped) {
		return a
	}
	return b
}

// ErrPath reports that a PayloadFilter's path is not a valid SQL/JSON path.
var ErrPath = errors.New("not an SQL/JSON path")

// pathError returns ErrPath for errors of a query that are caused by the path.
func (f *PayloadFilter) pathError(err error) error {
	var pqErr *pq.Error
	if f.Path != "" && errors.As(err, &pqErr) && (pqErr.Code.Class() == "42" || pqErr.Code.Class() == "22" || pqErr.Code.Class() == "2F") {
		return ErrPath
	}
	return err
}
