package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	// maxSearchRange is the maximum time range of a search.
	maxSearchRange = 31 * 24 * time.Hour
	// maxSearch bounds a search term in bytes.
	maxSearch = 1024
)

// readPayload parses the parameters that search payloads. r is the list's range, for which from must have been given.
func readPayload(q url.Values, r usecase.TimeRange, now time.Time) (usecase.PayloadFilter, error) {
	f := usecase.PayloadFilter{Contains: json.RawMessage(q.Get("data_contains")), Path: q.Get("data_path"), Text: q.Get("data_text")}
	if f.Empty() {
		return f, nil
	}
	for _, name := range []string{"data_contains", "data_path", "data_text"} {
		if len(q.Get(name)) > maxSearch {
			return f, badParameter(name, "is too long")
		}
	}
	if len(f.Contains) > 0 && checkJSON(f.Contains) != nil {
		return f, badParameter("data_contains", "must be JSON")
	}
	if r.To.IsZero() {
		r.To = now
	}
	switch {
	case q.Get("from") == "":
		return f, badParameter("from", "is needed to search in payloads")
	case r.To.Sub(r.From) > maxSearchRange:
		return f, badParameter("from", "must be at most 31 days before to, or now, to search in payloads")
	}
	return f, nil
}

// listed runs the query of a list, with the timeout of a search if no index serves it.
func listed[T any](ctx context.Context, scans bool, list func(context.Context) (T, error)) (T, error) {
	if scans {
		return list(ctx)
	}
	return daemon.Within(ctx, storeTimeout, list)
}

// ends returns the positions of the first and last result of a page. In the direction in which a search has to
// continue, it returns how far the search came. Both are nil for an empty page.
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

// searchedTo returns how far an unfinished search came.
func searchedTo(reached *usecase.Position) *time.Time {
	if reached == nil {
		return nil
	}
	return &reached.At
}
