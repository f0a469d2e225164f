package postgres

import (
	"encoding/json"
	"errors"

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
		c.add("whisperer_jsonb("+column+") @> %s::jsonb", string(f.Contains))
	}
	if f.Path != "" {
		c.add("jsonb_path_exists(whisperer_jsonb("+column+"), %s::jsonpath, '{}', true)", f.Path)
	}
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
