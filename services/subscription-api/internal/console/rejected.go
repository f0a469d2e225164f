package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// maxRejectedShown bounds the bytes of a rejected event that the list shows.
const maxRejectedShown = 4 << 10

type rejectedQuery struct {
	Reason, Subject string
	spanQuery
}

// Narrowed reports whether a filter is set.
func (q rejectedQuery) Narrowed() bool { return q != rejectedQuery{} }

type rejectedList struct {
	Filter  rejectedQuery
	Rows    []rejectedRow
	Reasons []option
	Problem string
	paging
}

type rejectedRow struct {
	Subject, Reason, Detail, Body, Size string
	At                                  time.Time
	Cut                                 bool
}

// reasonOptions lists all reasons for rejection. It leaves out that of an unknown tenant, because no tenant sees
// those.
func reasonOptions() []option {
	return []option{
		{"", "any reason"},
		{string(envelope.Unreadable), "cannot be read"},
		{string(envelope.BadField), "has a bad field"},
		{string(envelope.OffSchema), "does not fit its schema"},
		{string(envelope.TypeMismatch), "is of another type than its subject"},
		{string(envelope.IDConflict), "has the id of another event"},
		{string(envelope.ReservedType), "is of a type that only Whisperer itself may publish"},
		{string(envelope.ReservedID), "has an id as only Whisperer's own events have"},
		{string(envelope.TooLarge), "is too large"},
		{string(envelope.Poison), "stopped workers"},
	}
}

// reasonWords describes a reason in words, and returns unknown ones unchanged.
func reasonWords(reason string) string {
	options := reasonOptions()
	if i := slices.IndexFunc(options, func(o option) bool { return o.Value == reason }); i > 0 {
		return "It " + options[i].Label
	}
	return reason
}

func readRejectedQuery(form url.Values) rejectedQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return rejectedQuery{Reason: get("reason"), Subject: get("subject"), spanQuery: readSpan(form)}
}

func (c *console) listRejected(ctx context.Context, v *visit) (reply, error) {
	body := rejectedList{Filter: readRejectedQuery(v.form), Reasons: reasonOptions()}
	filter := usecase.RejectedFilter{Reason: body.Filter.Reason, Subject: body.Filter.Subject}
	if filter.Range, body.Problem = body.Filter.timeRange(v.now()); body.Problem != "" {
		return page("rejected", "Rejected events", body).with(http.StatusUnprocessableEntity), nil
	}
	at := readPage(v.form)
	found, err := wholePage(c.Cases.History.ListRejected(ctx, v.Tenant, filter, maxRejectedShown, at))
	if err != nil {
		return reply{}, err
	}
	for _, r := range found.List {
		body.Rows = append(body.Rows, rejectedRow{
			Subject: r.Subject, Reason: reasonWords(r.Reason), Detail: r.Detail, Body: strings.ToValidUTF8(string(r.Raw), "\uFFFD"),
			Size: size(r.Size), At: r.PublishedAt, Cut: r.Size > len(r.Raw),
		})
	}
	body.paging = neighbours(v.form, at, found, func(e *usecase.RejectedEvent) usecase.Position {
		return usecase.SeqPosition(e.PublishedAt, e.Seq)
	})
	return page("rejected", "Rejected events", body), nil
}
