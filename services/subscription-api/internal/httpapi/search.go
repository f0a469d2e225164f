package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// searchTimeout bounds a page of a search by what there is no index of.
	searchTimeout = 6 * time.Second
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
func (q *PayloadQuery) payload(from fromParam, r store.TimeRange, now time.Time) (store.PayloadFilter, error) {
	f := store.PayloadFilter{Contains: json.RawMessage(q.DataContains), Path: q.DataPath, Text: q.DataText}
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

// listed runs the query of a list. Where it scans, for want of an index, it ends with less than a page when it has looked at
// enough.
func listed[T any](ctx context.Context, s *server, scans bool, list func(context.Context) ([]T, bool, error), scan func(context.Context) (store.Scanned[T], error)) (store.Scanned[T], error) {
	if !scans {
		return daemon.Within(ctx, storeTimeout, func(ctx context.Context) (store.Scanned[T], error) {
			rows, more, err := list(ctx)
			return store.Scanned[T]{List: rows, More: more}, err
		})
	}
	begin := time.Now()
	out, err := daemon.Within(ctx, searchTimeout, func(ctx context.Context) (store.Scanned[T], error) {
		c := callOf(ctx)
		release, err := s.Searches.Take(ctx, c.tenant, c.token.ID.String())
		if err != nil {
			return store.Scanned[T]{}, err
		}
		defer release()
		return scan(ctx)
	})
	switch {
	case errors.Is(err, store.ErrPath):
		return out, badParameter("data_path", "is not an SQL/JSON path")
	case errors.Is(err, store.ErrSlow), err != nil && time.Since(begin) >= searchTimeout:
		return out, newProblem(http.StatusServiceUnavailable, "The search took too long. Narrow the range with from and to, or add entity or hook.").with("Retry-After", "1")
	}
	return out, err
}

// ends are the positions of the first and last result of a page or, towards where a search has to go on, of how far it
// came; nil for an empty page.
func ends[T any](found *store.Scanned[T], page store.Page, of func(*T) store.Position) (first, last *store.Position) {
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
func searchedTo(reached *store.Position) *time.Time {
	if reached == nil {
		return nil
	}
	return &reached.At
}
