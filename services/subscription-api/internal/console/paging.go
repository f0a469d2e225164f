package console

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

// readPage reads the place in a list that the query names; one that cannot be read is the list's beginning.
func readPage(form url.Values) postgres.Page {
	at := postgres.Page{Limit: pageSize}
	if p, ok := parsePosition(form.Get("older")); ok {
		at.Older = &p
	} else if p, ok := parsePosition(form.Get("newer")); ok {
		at.Newer = &p
	}
	return at
}

func parsePosition(s string) (postgres.Position, bool) {
	micros, id, _ := strings.Cut(s, "_")
	at, errAt := strconv.ParseInt(micros, 10, 64)
	parsed, errID := uuid.Parse(id)
	return postgres.Position{At: time.UnixMicro(at).UTC(), ID: parsed}, errAt == nil && errID == nil
}

func formatPosition(p postgres.Position) string {
	return strconv.FormatInt(p.At.UnixMicro(), 10) + "_" + p.ID.String()
}

// neighbours are the queries of the pages before and after one of n rows.
func neighbours(form url.Values, at postgres.Page, more bool, n int, position func(int) postgres.Position) (newer, older string) {
	if n == 0 {
		return "", ""
	}
	if at.Older != nil || at.Newer != nil && more {
		newer = pageLink(form, "newer", formatPosition(position(0)))
	}
	if at.Newer != nil || more {
		older = pageLink(form, "older", formatPosition(position(n-1)))
	}
	return newer, older
}

// pageLink is the query of the same list at another place.
func pageLink(form url.Values, direction, place string) string {
	q := filterOf(form)
	q.Set(direction, place)
	return "?" + q.Encode()
}

// filterOf is what a list's query says besides the place in the list.
func filterOf(form url.Values) url.Values {
	q := url.Values{}
	for name, values := range form {
		switch name {
		case "older", "newer", "before", "after", "done", "n", "wait":
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

// withDoneTo is withDone for so many things.
func withDoneTo(path, done string, n int) string {
	return withDone(path, done) + "&n=" + strconv.Itoa(n)
}
