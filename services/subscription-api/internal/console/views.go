package console

import (
	"context"
	"errors"
	"net/url"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// savedViews are the reader's saved filters of a list.
type savedViews struct {
	// List is the list's path below the console's root, without slashes.
	List string
	// Query is the current filter; empty if there is none.
	Query string
	Saved []savedView
	// Kept says that the current filter is saved.
	Kept bool
}

type savedView struct {
	usecase.View

	Link    string
	Current bool
}

func (c *console) views(ctx context.Context, v *visit, list string) (savedViews, error) {
	out := savedViews{List: list, Query: filterOf(v.form).Encode()}
	views, err := c.Cases.Access.Views(ctx, &v.Caller, list)
	for _, view := range views {
		current := view.Query == out.Query
		out.Kept = out.Kept || current
		out.Saved = append(out.Saved, savedView{View: view, Link: Root + list + "/?" + view.Query, Current: current})
	}
	return out, err
}

// saveView saves the current filter of the list.
func (c *console) saveView(ctx context.Context, v *visit) (reply, error) {
	filter, err := url.ParseQuery(v.posted.Get("query"))
	if err != nil {
		return reply{}, errBadForm
	}
	view := usecase.View{List: v.posted.Get("list"), Name: v.posted.Get("name"), Query: filterOf(filter).Encode()}
	err = c.Cases.Access.SaveView(ctx, &v.Caller, view)
	done := "view-saved"
	switch {
	case errors.Is(err, usecase.ErrTooManyViews):
		done = "view-many"
	case errors.Is(err, webhook.ErrInvalid):
		done = "view-wrong"
	case err != nil:
		return reply{}, err
	}
	back := safeNext(v.posted.Get("next"))
	if back == "" {
		back = Root
	}
	return goTo(withDone(back, done)), nil
}

func (c *console) removeView(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	view, err := c.Cases.Access.RemoveView(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	return goTo(withDone(Root+view.List+"/", "view-removed")), nil
}
