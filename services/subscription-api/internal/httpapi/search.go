package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	// maxSearchRange is the longest time that one search may be about.
	maxSearchRange = 31 * 24 * time.Hour
	// maxSearch bounds what is searched for, in bytes.
	maxSearch = 1024
)

// PayloadQuery are the parameters that look into payloads.
type PayloadQuery struct {
	DataContains string `query:"data_contains" doc:"JSON that the event's data has to contain, such as {\"package\":{\"awb\":\"1Z5\"}}. Needs from, and at most 31 days"`
	DataPath     string `query:"data_path" doc:"An SQL/JSON path that has to find something in the event's data, such as $.lines[*] ? (@.quantity > 3). Needs from, and at most 31 days"`
	DataText     string `query:"data_text" doc:"Text that has to be in the event's data as it was published. Needs from, and at most 31 days"`
}

// payload reads the parameters; the range is the one of the list, of which from has to be given.
func (q *PayloadQuery) payload(from fromParam, r usecase.TimeRange, now time.Time) (usecase.PayloadFilter, error) {
	f := usecase.PayloadFilter{Contains: json.RawMessage(q.DataContains), Path: q.DataPath, Text: q.DataText}
	if f.Empty() {
		return f, nil
	}
	for name, value := range map[string]string{"data_contains": q.DataContains, "data_path": q.DataPath, "data_text": q.DataText} {
		if len(value) > maxSearch {
			return f, badParameter(name, "is too long")
		}
	}
	if q.DataContains != "" && checkJSON([]byte(q.DataContains)) != nil {
		return f, badParameter("data_contains", "must be JSON")
	}
	if r.To.IsZero() {
		r.To = now
	}
	switch {
	case from == "":
		return f, badParameter("from", "is needed to search in payloads")
	case r.To.Sub(r.From) > maxSearchRange:
		return f, badParameter("from", "must be at most 31 days before to, or now, to search in payloads")
	}
	return f, nil
}

// listed runs the query of a list, for as long as a list may take, or a search where there is no index for it.
func listed[T any](ctx context.Context, scans bool, list func(context.Context) (T, error)) (T, error) {
	if scans {
		return list(ctx)
	}
	return daemon.Within(ctx, storeTimeout, list)
}

// ends are the positions of the first and last result of a page or, towards where a search has to go on, of how far it
// came; nil for an empty page.
func ends[T any](found *usecase.Scanned[T], page usecase.Page, of func(*T) usecase.Position) (first, last *usecase.Position) {
	if n := len(found.List); n > 0 {
		newest, oldest := of(&found.List[0]), of(&found.List[n-1])
		first, last = &newest, &oldest
	}
	switch {
	case found.Reached == nil:
		return first, last
	case page.Newer != nil:
		return found.Reached, cmp.Or(last, page.Newer)
	default:
		return cmp.Or(first, page.Older), found.Reached
	}
}

// searchedTo is how far a search came that has to go on.
func searchedTo(reached *usecase.Position) *time.Time {
	if reached == nil {
		return nil
	}
	return &reached.At
}
