package console

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// readPage parses the position in a list from the query; an invalid one means the first page.
func readPage(form url.Values) usecase.Page {
	at := usecase.Page{Limit: pageSize}
	if p, ok := parsePosition(form.Get("older")); ok {
		at.Older = &p
	} else if p, ok := parsePosition(form.Get("newer")); ok {
		at.Newer = &p
	}
	return at
}

func parsePosition(s string) (usecase.Position, bool) {
	micros, id, _ := strings.Cut(s, "_")
	at, errAt := strconv.ParseInt(micros, 10, 64)
	parsed, errID := uuid.Parse(id)
	return usecase.Position{At: time.UnixMicro(at).UTC(), ID: parsed}, errAt == nil && errID == nil
}

func formatPosition(p usecase.Position) string {
	return strconv.FormatInt(p.At.UnixMicro(), 10) + "_" + p.ID.String()
}

// paging has the links to neighbouring pages.
type paging struct {
	// Newer and Older are the queries of the neighbouring pages; may be empty.
	Newer, Older string
	// SearchedTo is how far the search for a page came if it ended before the page was full, for want of an index;
	// otherwise zero.
	SearchedTo time.Time
}

// neighbours returns the links to the neighbouring pages.
func neighbours[T any](form url.Values, at usecase.Page, found usecase.Scanned[T], position func(*T) usecase.Position) (p paging) {
	var first, last *usecase.Position
	if n := len(found.List); n > 0 {
		newest, oldest := position(&found.List[0]), position(&found.List[n-1])
		first, last = &newest, &oldest
	}
	switch {
	case found.Reached == nil:
	case at.Newer != nil:
		p.SearchedTo, first, last = found.Reached.At, found.Reached, cmp.Or(last, at.Newer)
	default:
		p.SearchedTo, first, last = found.Reached.At, cmp.Or(first, at.Older), found.Reached
	}
	if first != nil && (at.Older != nil || at.Newer != nil && found.More) {
		p.Newer = pageLink(form, "newer", formatPosition(*first))
	}
	if last != nil && (at.Newer != nil || found.More) {
		p.Older = pageLink(form, "older", formatPosition(*last))
	}
	return p
}

// wholePage converts a page that was read from an index.
func wholePage[T any](list []T, more bool, err error) (usecase.Scanned[T], error) {
	return usecase.Scanned[T]{List: list, More: more}, err
}

// pageLink returns the query for another position in the same list.
func pageLink(form url.Values, direction, place string) string {
	q := filterOf(form)
	q.Set(direction, place)
	return "?" + q.Encode()
}

// filterOf returns a list's query without the position.
func filterOf(form url.Values) url.Values {
	q := url.Values{}
	for name, values := range form {
		switch name {
		case "older", "newer", "before", "after", "done", "n", "wait", "deleted":
		default:
			if values[0] != "" {
				q.Set(name, values[0])
			}
		}
	}
	return q
}

func withDone(path, done string) string {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + "done=" + done
}

// withDoneTo is withDone for n objects.
func withDoneTo(path, done string, n int) string {
	return withDone(path, done) + "&n=" + strconv.Itoa(n)
}
