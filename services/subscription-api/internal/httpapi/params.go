package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Limits of a page.
const (
	defaultLimit = 50
	maxLimit     = 250
)

// Parameters are read as text and checked here, so that every invalid one is a 400 of ours. These types only describe
// them in the OpenAPI document.
type (
	limitParam string
	boolParam  string
)

// Schema describes the parameter.
func (limitParam) Schema(huma.Registry) *huma.Schema {
	one := 1.0
	return &huma.Schema{
		Type: huma.TypeInteger, Minimum: &one, Default: defaultLimit,
		Description: fmt.Sprintf("Number of results per page; at most %d", maxLimit),
	}
}

// Schema describes the parameter.
func (boolParam) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeBoolean} }

func readLimit(s string) (int, error) {
	if s == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, badParameter("limit", fmt.Sprintf("must be a whole number from 1 to %d", maxLimit))
	}
	return min(n, maxLimit), nil
}

// readBool accepts the words that Django REST framework takes for true and false, in any case.
func readBool(name, s string) (value, set bool, err error) {
	switch strings.ToLower(s) {
	case "":
		return false, false, nil
	case "true", "t", "yes", "y", "on", "1":
		return true, true, nil
	case "false", "f", "no", "n", "off", "0":
		return false, true, nil
	default:
		return false, false, badParameter(name, "must be true or false")
	}
}

// readID parses an id in a path. An invalid id is treated as unknown.
func readID(s string) (uuid.UUID, error) {
	id, ok := usecase.ParseID(s)
	if !ok {
		return uuid.UUID{}, notFound()
	}
	return id, nil
}

// checkQuery refuses parameters that the operation does not know, and repeated ones: if a filter were silently
// ignored, the response would contain everything.
func checkQuery(raw string, op *huma.Operation) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, newProblem(http.StatusBadRequest, "The query of the URL cannot be read.")
	}
	known := map[string]bool{}
	for _, p := range op.Parameters {
		known[p.Name] = p.In == "query"
	}
	for name, values := range query {
		switch {
		case !known[name]:
			return nil, badParameter(name, "is not a parameter of this operation")
		case len(values) > 1:
			return nil, badParameter(name, "is there twice")
		case strings.ContainsRune(values[0], 0) || strings.ToValidUTF8(values[0], "") != values[0]:
			return nil, badParameter(name, "is not text")
		}
	}
	return query, nil
}

// readIfMatch parses If-Match (RFC 9110 section 13.1.1). A tag that is not one of ours matches nothing.
func readIfMatch(header string) usecase.IfVersion {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" {
		return nil
	}
	var versions usecase.IfVersion
	for tag := range strings.SplitSeq(header, ",") {
		version := int64(-1)
		tag = strings.TrimSpace(tag)
		if len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
			if n, err := strconv.ParseInt(tag[1:len(tag)-1], 10, 64); err == nil {
				version = n
			}
		}
		versions = append(versions, version)
	}
	return versions
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }
