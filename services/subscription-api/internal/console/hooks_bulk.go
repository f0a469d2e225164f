package console

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// hookChoice is the hooks that were selected in the list, or all that match its filter.
type hookChoice struct {
	// IDs are the selected hooks; empty if All is set, which means all that match the filter.
	IDs    []string
	All    bool
	Filter hookQuery
	// Next is the page to go to afterwards.
	Next string
}

// readHookChoice parses the selection. The error is errBadForm.
func (c *console) readHookChoice(v *visit) (choice hookChoice, f usecase.HookFilter, err error) {
	choice = hookChoice{
		IDs: v.posted["hook"], All: v.posted.Get("all") != "", Next: safeNext(v.posted.Get("next")),
		Filter: hookQuery{Search: v.posted.Get("search"), Status: v.posted.Get("filter_status"), EventType: v.posted.Get("event_type"), Label: v.posted.Get("label")},
	}
	if choice.Next == "" {
		choice.Next = Root + "hooks/"
	}
	if choice.All {
		choice.IDs = nil
		return choice, choice.Filter.filter(c.Cases.MaskFor(&v.Caller)), nil
	}
	if len(choice.IDs) > pageSize {
		return choice, f, errBadForm
	}
	for _, text := range choice.IDs {
		id, err := uuid.Parse(text)
		if err != nil {
			return choice, f, errBadForm
		}
		f.IDs = append(f.IDs, id)
	}
	return choice, f, nil
}

// none reports whether nothing was selected.
func (h *hookChoice) none() bool { return !h.All && len(h.IDs) == 0 }

// bulkBody asks for confirmation before many hooks are paused or resumed.
type bulkBody struct {
	Action string
	Count  int
	// Hooks are those that would change.
	Hooks namedHooks
	hookChoice
}

// shownNames is how many of many webhooks are named.
const shownNames = 10

// namedHooks are the titles of the first of many webhooks; More is the number of others.
type namedHooks struct {
	Names []string
	More  int
}

// nameHooks names the first webhooks that match the filter; total is their number.
func (c *console) nameHooks(ctx context.Context, v *visit, f usecase.HookFilter, total int) (namedHooks, error) {
	hooks, _, err := c.Cases.Hooks.ListSorted(ctx, &v.Caller, f, usecase.HooksByName, usecase.HookPage{Limit: shownNames})
	named := namedHooks{More: max(0, total-len(hooks))}
	for i := range hooks {
		h := c.Cases.MaskFor(&v.Caller).Hook(hooks[i].Hook)
		named.Names = append(named.Names, titleOf(&h))
	}
	return named, err
}

// setStatuses pauses or resumes the selected hooks, or all that match the list's filter. It first shows how many
// these are and what that means, and acts after confirmation.
func (c *console) setStatuses(ctx context.Context, v *visit) (reply, error) {
	status, done, ok := wantedStatus(v.posted.Get("status"))
	choice, filter, err := c.readHookChoice(v)
	switch {
	case !ok || err != nil:
		return reply{}, errBadForm
	case choice.none():
		return goTo(withDone(choice.Next, "none-ticked")), nil
	}
	body := bulkBody{Action: v.posted.Get("status"), hookChoice: choice}
	change := usecase.StatusChange{To: status, Filter: filter}
	if v.posted.Get("sure") == "" {
		if body.Count, err = c.Cases.Hooks.CountStatuses(ctx, &v.Caller, change); err != nil {
			return reply{}, err
		}
		if body.Hooks, err = c.nameHooks(ctx, v, changing(filter, status), body.Count); err != nil {
			return reply{}, err
		}
		return page("hooks-bulk", "Are you sure?", body), nil
	}
	n, err := c.Cases.Hooks.SetStatuses(ctx, &v.Caller, change)
	if err != nil {
		return reply{}, err
	}
	return goTo(withDoneTo(body.Next, done+"-some", n)), nil
}

// changing restricts the filter to hooks that the status would change.
func changing(f usecase.HookFilter, to webhook.HookStatus) usecase.HookFilter {
	switch {
	case to == webhook.Active:
		f.NotStatus = webhook.Active
	case f.Status == "": // disabled ones are not paused
		f.Status = webhook.Active
	default:
		f.NotStatus = webhook.Paused
	}
	return f
}

// wantedStatus parses a button's action.
func wantedStatus(action string) (status webhook.HookStatus, done string, ok bool) {
	switch action {
	case "pause":
		return webhook.Paused, "paused", true
	case "resume":
		return webhook.Active, "resumed", true
	default:
		return "", "", false
	}
}

// setStatus pauses an active hook, or resumes one that is paused or disabled. After resuming a disabled hook, it
// offers to recover what the hook missed.
func (c *console) setStatus(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	status, done, ok := wantedStatus(v.posted.Get("status"))
	if !ok {
		return reply{}, errBadForm
	}
	var changed usecase.Changed
	if status == webhook.Active {
		changed, err = c.Cases.Hooks.Resume(ctx, &v.Caller, id, nil)
	} else {
		until, good := pauseEnd(v.posted, time.Now())
		if !good {
			return goTo(withDone(hookPath(id), "pause-no-time")), nil
		}
		if _, err = c.Cases.Hooks.Pause(ctx, &v.Caller, id, nil, until); errors.Is(err, webhook.ErrInvalid) {
			return goTo(withDone(hookPath(id), "pause-no-time")), nil
		}
		if err == nil && !until.IsZero() {
			done = "paused-until"
		}
	}
	switch {
	case err != nil:
		return reply{}, err
	case changed.WasDisabled && status == webhook.Active:
		return goTo(hookPath(id) + "replay?" + url.Values{"recover": {"yes"}}.Encode()), nil
	}
	return goTo(withDone(hookPath(id), done)), nil
}

// pauseEnds are the choices of how long to pause a hook.
func pauseEnds() []option {
	return []option{{"", "until I resume it"}, {"1h", "for an hour"}, {"4h", "for 4 hours"}, {"tomorrow", "until tomorrow 08:00"}, {ownSpan, "until …"}}
}

// pauseEnd parses when a pause ends; zero for never. Tomorrow is in the reader's time zone, if the browser sends its
// offset from UTC in minutes.
func pauseEnd(form url.Values, now time.Time) (until time.Time, ok bool) {
	switch choice := form.Get("until"); choice {
	case "":
		return time.Time{}, true
	case "1h", "4h":
		length, err := time.ParseDuration(choice)
		return now.Add(length), err == nil
	case "tomorrow":
		behind, err := strconv.Atoi(form.Get("zone"))
		if err != nil || behind < -24*60 || behind > 24*60 {
			behind = 0
		}
		zone := time.FixedZone("", -behind*60)
		local := now.In(zone)
		return time.Date(local.Year(), local.Month(), local.Day()+1, 8, 0, 0, 0, zone), true
	case ownSpan:
		return parseMoment(form.Get("until_time"))
	default:
		return time.Time{}, false
	}
}
