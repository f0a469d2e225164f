package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	asidePath = Root + "set-aside/"
	// shownAside is the number of entries per page.
	shownAside = 50
)

type asideBody struct {
	// Total is the number of entries as text; empty for none.
	Total string
	Rows  []asideRow
	// Done is the result of putting entries back; nil if nobody has requested that.
	Done           *aside.Result
	Previous, Next string
}

type asideRow struct {
	bus.SetAside

	Length string
	// Kept says why it could not be put back just now.
	Kept string
}

func (c *console) listAside(ctx context.Context, v *visit) (reply, error) {
	return c.aside(ctx, v, nil)
}

func (c *console) aside(ctx context.Context, v *visit, done *aside.Result) (reply, error) {
	after, err := strconv.ParseUint(v.form.Get("after"), 10, 64)
	if err != nil {
		after = 0
	}
	list, err := c.Cases.Ledger.List(ctx, &v.Caller, after, shownAside+1)
	if err != nil {
		return reply{}, err
	}
	body := asideBody{Total: c.setAside(ctx, v), Done: done}
	if len(list) > shownAside {
		list = list[:shownAside]
		body.Next = asidePath + "?after=" + strconv.FormatUint(list[shownAside-1].Seq, 10)
	}
	if after > 0 {
		body.Previous = asidePath
	}
	kept := map[uint64]string{}
	if done != nil {
		for _, k := range done.Kept {
			kept[k.Number] = k.Err.Error()
		}
	}
	body.Rows = make([]asideRow, len(list))
	for i, s := range list {
		body.Rows[i] = asideRow{SetAside: s, Length: size(int64(s.Size)), Kept: kept[s.Seq]}
	}
	return page("set-aside", "Set aside", body), nil
}

// putBack puts one entry back, or all.
func (c *console) putBack(ctx context.Context, v *visit) (reply, error) {
	what := usecase.PutBack{All: v.posted.Get("all") != ""}
	if !what.All {
		number, err := strconv.ParseUint(v.posted.Get("number"), 10, 64)
		if err != nil {
			return reply{}, errBadForm
		}
		what.Numbers = usecase.Some([]uint64{number})
	}
	done, err := c.Cases.Ledger.PutBack(ctx, &v.Caller, what)
	switch {
	case err != nil:
		return reply{}, err
	case done.Stay == 0 && !done.More:
		return goTo(withDoneTo(asidePath, "put-back", done.PutBack)), nil
	case len(done.Kept) == 1 && errors.Is(done.Kept[0].Err, bus.ErrNotSetAside):
		return goTo(withDone(asidePath, "put-back-before")), nil
	}
	answer, err := c.aside(ctx, v, &done)
	return answer.with(http.StatusConflict), err
}

// setAside returns the number of set-aside entries as text. It is empty if there are none, the reader is not an
// operator, or NATS does not answer.
func (c *console) setAside(ctx context.Context, v *visit) string {
	n, err := daemon.Within(ctx, busTimeout, func(ctx context.Context) (uint64, error) { return c.Cases.Ledger.Count(ctx, &v.Caller) })
	if err != nil || n == 0 {
		return ""
	}
	return things(int(n), "ledger entry is", "ledger entries are") //nolint:gosec // messages of one stream
}
