package httpapi

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type (
	timeParam string
	intParam  string
)

// Schema describes the parameter.
func (timeParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

// Schema describes the parameter.
func (intParam) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeInteger} }

// scopeOf returns what a cursor is bound to: the list, the tenant and all parameters except the page's.
func (c *call) scopeOf(list string) string {
	v := url.Values{"list": {list}, "tenant": {c.Tenant}}
	for name, values := range c.query {
		if name != "limit" && name != "cursor" {
			v["query."+name] = values
		}
	}
	return v.Encode()
}

// neighbours returns the links of a page with n results; position returns their positions.
func (s *server) neighbours(c *call, path, scope string, page usecase.Page, more bool, n int, position func(i int) usecase.Position) (next, previous *string) {
	if n == 0 {
		return nil, nil
	}
	first, last := position(0), position(n-1)
	return s.cursors.links(c.base+path, c.query, scope, page, more, &first, &last)
}

// content is foreign bytes: plain if they are text, and otherwise in base64.
type content struct {
	text   string
	base64 bool
}

func contentOf(raw []byte) content {
	if utf8.Valid(raw) && !strings.ContainsRune(string(raw), 0) {
		return content{text: string(raw)}
	}
	return content{text: base64.StdEncoding.EncodeToString(raw), base64: true}
}

func headerLines(headers []webhook.Header) []api.HeaderLine {
	lines := make([]api.HeaderLine, len(headers))
	for i, h := range headers {
		lines[i] = api.HeaderLine(h)
	}
	return lines
}

// optionalTime returns nil for the zero time.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// optionalStatus returns nil if there was no answer.
func optionalStatus(status int) *int {
	if status == 0 {
		return nil
	}
	return &status
}
