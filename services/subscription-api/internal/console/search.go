package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	// shownFound is how many results of each kind a search shows.
	shownFound = 5
	// leastPrefix is the minimum length of an id's prefix in a search.
	leastPrefix = 8
	// mostSearched bounds the search text in bytes.
	mostSearched = 256
)

type searchBody struct {
	Query string
	spanQuery
	Problem    string
	Hooks      []foundHook
	Event      *eventRow
	Deliveries []deliveryRow
	// Types are event types with the text in their name.
	Types []string
	// About are events about the entity, and Payloads events with the text in their data.
	About, Payloads []eventRow
	// MoreAbout and MoreHooks link to the lists of all results of a kind; empty if all are shown.
	MoreAbout, MoreHooks string
	// SearchedTo is how far back payloads were searched, if that is not the whole time range.
	SearchedTo time.Time
}

// Nothing reports whether nothing was found.
func (b searchBody) Nothing() bool {
	return len(b.Hooks)+len(b.Types)+len(b.Deliveries)+len(b.About)+len(b.Payloads) == 0 && b.Event == nil
}

type foundHook struct{ Title, Target, Link string }

// search finds whatever a person may have: webhooks by name, target and id, event types by name, events by id, entity
// and text in their data, and deliveries by id.
func (c *console) search(ctx context.Context, v *visit) (reply, error) {
	body := searchBody{Query: strings.TrimSpace(v.form.Get("q")), spanQuery: readSpan(v.form)}
	when, problem := body.timeRange(v.now())
	if len(body.Query) > mostSearched || !utf8.ValidString(body.Query) || strings.ContainsRune(body.Query, 0) {
		problem = "Search for at most 256 characters of text."
	}
	if body.Problem = problem; problem != "" {
		return page("search", "Search", body).with(http.StatusUnprocessableEntity), nil
	}
	if body.Query == "" {
		return page("search", "Search", body), nil
	}
	for _, part := range []func(context.Context, *visit, *searchBody, usecase.TimeRange) error{
		c.searchHooks, c.searchIDs, c.searchEntity, c.searchPayloads,
	} {
		if err := part(ctx, v, &body, when); err != nil {
			return reply{}, err
		}
	}
	return page("search", "Search: "+body.Query, body), nil
}

func (c *console) searchHooks(ctx context.Context, v *visit, body *searchBody, _ usecase.TimeRange) error {
	types, err := c.typeNames(ctx, v.Tenant)
	if err != nil {
		return err
	}
	for _, name := range types {
		if strings.Contains(name, strings.ToLower(body.Query)) && len(body.Types) < 2*shownFound {
			body.Types = append(body.Types, name)
		}
	}
	mask := c.Cases.MaskFor(&v.Caller)
	f := usecase.HookFilter{Mask: mask, Search: body.Query}
	hooks, more, err := c.Cases.Hooks.ListSorted(ctx, &v.Caller, f, usecase.HooksByName, usecase.HookPage{Limit: shownFound})
	if err != nil {
		return err
	}
	for i := range hooks {
		h := mask.Hook(hooks[i].Hook)
		body.Hooks = append(body.Hooks, foundHook{Title: titleOf(&h), Target: h.TargetURL, Link: hookPath(h.ID)})
	}
	if more {
		body.MoreHooks = Root + "hooks/?" + url.Values{"search": {body.Query}}.Encode()
	}
	return nil
}

// searchIDs finds an event by its id, and deliveries by their id or a prefix of it.
func (c *console) searchIDs(ctx context.Context, v *visit, body *searchBody, _ usecase.TimeRange) error {
	e, err := c.Cases.Deliveries.FindEvent(ctx, &v.Caller, body.Query)
	switch {
	case err == nil:
		body.Event = &eventRow{ID: e.ID, Type: e.Type, Entity: e.Entity, Link: eventLink(e.ID), PublishedAt: e.PublishedAt, Size: size(len(e.Data))}
	case !errors.Is(err, webhook.ErrNotFound):
		return err
	}
	ids, ok := usecase.IDsFrom(body.Query)
	if !ok || len(body.Query) < leastPrefix {
		return nil
	}
	f := usecase.DeliveryFilter{IDs: &ids}
	list, _, err := c.Cases.History.ListDeliveries(ctx, v.Tenant, f, usecase.Page{Limit: shownFound})
	if err != nil {
		return err
	}
	body.Deliveries, err = c.titledRows(ctx, v, list)
	return err
}

func (c *console) searchEntity(ctx context.Context, v *visit, body *searchBody, when usecase.TimeRange) error {
	found, err := c.Cases.Deliveries.Events(ctx, &v.Caller, usecase.EventFilter{Entity: body.Query, Range: when}, usecase.Page{Limit: shownFound})
	if err != nil {
		return err
	}
	if body.About, err = c.eventRows(ctx, v, found.List); err != nil {
		return err
	}
	if found.More {
		body.MoreAbout = Root + "events/?" + url.Values{
			"entity": {body.Query}, "since": {body.Since}, "from": {body.From}, "to": {body.To},
		}.Encode()
	}
	return nil
}

func (c *console) searchPayloads(ctx context.Context, v *visit, body *searchBody, when usecase.TimeRange) error {
	f := usecase.EventFilter{Range: when, Payload: usecase.PayloadFilter{Text: body.Query}}
	found, err := c.Cases.Deliveries.Events(ctx, &v.Caller, f, usecase.Page{Limit: shownFound})
	if errors.Is(err, usecase.ErrSlow) {
		body.SearchedTo = time.Now()
		return nil
	}
	if err != nil {
		return err
	}
	if body.Payloads, err = c.eventRows(ctx, v, found.List); err != nil {
		return err
	}
	if found.Reached != nil {
		body.SearchedTo = found.Reached.At
	}
	return nil
}
