package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// A cursor is opaque to clients. It contains a direction, a position, and a MAC over both, the tenant and the
// filters, so that it only works for the list that it came from.
const (
	cursorOlder = 'o'
	cursorNewer = 'n'
	cursorBody  = 1 + 8 + 16
	cursorMAC   = 16
)

type cursors struct{ key []byte }

// seal encodes a cursor. scope is the tenant and the filters.
func (c cursors) seal(direction byte, at usecase.Position, scope string) string {
	body := make([]byte, 0, cursorBody+cursorMAC)
	body = append(body, direction)
	body = binary.BigEndian.AppendUint64(body, uint64(at.At.UnixMicro()))
	body = append(body, at.ID[:]...)
	return base64.RawURLEncoding.EncodeToString(append(body, c.mac(body, scope)...))
}

// open decodes a cursor. ok is false for one that was not made for this scope.
func (c cursors) open(cursor, scope string) (direction byte, at usecase.Position, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != cursorBody+cursorMAC {
		return 0, at, false
	}
	body := raw[:cursorBody]
	if subtle.ConstantTimeCompare(raw[cursorBody:], c.mac(body, scope)) != 1 {
		return 0, at, false
	}
	at.At = time.UnixMicro(int64(binary.BigEndian.Uint64(body[1:9]))).UTC() //nolint:gosec // it was an int64
	at.ID = uuid.UUID(body[9:cursorBody])
	return body[0], at, true
}

func (c cursors) mac(body []byte, scope string) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write(body)
	h.Write([]byte(scope))
	return h.Sum(nil)[:cursorMAC]
}

// page parses limit and cursor of a list's query.
func (c cursors) page(query url.Values, scope string) (usecase.Page, error) {
	limit, err := readLimit(query.Get("limit"))
	if err != nil {
		return usecase.Page{}, err
	}
	page := usecase.Page{Limit: limit}
	if !query.Has("cursor") {
		return page, nil
	}
	direction, at, ok := c.open(query.Get("cursor"), scope)
	switch {
	case !ok:
		return page, badParameter("cursor", "is not a cursor of this list: take it from next or previous, and keep the filters")
	case direction == cursorNewer:
		page.Newer = &at
	default:
		page.Older = &at
	}
	return page, nil
}

// links returns the links to the neighbours of a page. first and last are the positions of the page's ends, nil for
// an empty page.
func (c cursors) links(base string, query url.Values, scope string, page usecase.Page, more bool, first, last *usecase.Position) (next, previous *string) {
	link := func(direction byte, at usecase.Position) *string {
		q := url.Values{}
		maps.Copy(q, query)
		q.Set("cursor", c.seal(direction, at, scope))
		u := base + "?" + q.Encode()
		return &u
	}
	hasNext := page.Newer != nil || more
	hasPrevious := page.Older != nil || page.Newer != nil && more
	if hasNext && last != nil {
		next = link(cursorOlder, *last)
	}
	if hasPrevious && first != nil {
		previous = link(cursorNewer, *first)
	}
	return next, previous
}
