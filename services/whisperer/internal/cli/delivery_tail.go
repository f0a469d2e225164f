package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
)

// tailAtOnce is the maximum number of deliveries per poll. If there are more, the oldest are left out, and that is
// reported.
const tailAtOnce = 1000

type deliveryTail struct {
	deliveryFlags

	Since moment        `help:"Begin with the deliveries of events published then: how long ago, such as 2h, or a time." default:"now" placeholder:"WHEN"`
	Back  length        `help:"Follow deliveries of events published at most this long ago; their later retries are not shown." default:"15m" placeholder:"DURATION"`
	Every time.Duration `help:"How often to poll." default:"1s" placeholder:"DURATION"`
	Count int           `help:"Stop after this many lines." placeholder:"N"`
}

// Run prints until it is interrupted, or until the API refuses.
func (c *deliveryTail) Run(ctx context.Context, a *app) error {
	if c.Back == 0 || c.Every < 100*time.Millisecond {
		return usage("--back: must be above 0, and --every at least 100ms")
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	filter, err := c.filter(ctx, server)
	if err != nil {
		return err
	}
	t := &tail{app: a, api: server, filter: filter, seen: map[uuid.UUID]time.Time{}, begin: c.Since.Time, back: time.Duration(c.Back), most: c.Count}
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	fmt.Fprintln(a.Err, "waiting for deliveries (ctrl-c to stop)")
	away := false
	for {
		switch err := t.look(ctx); {
		case ctx.Err() != nil, t.most > 0 && t.shown == t.most:
			return nil
		case errors.Is(err, client.ErrUnavailable):
			if !away {
				fmt.Fprintf(a.Err, "%s: trying again\n", err)
			}
			away = true
		case err != nil:
			return err
		default:
			away = false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// tail remembers what was printed.
type tail struct {
	app    *app
	api    *client.Client
	filter client.DeliveryFilter
	begin  time.Time
	back   time.Duration
	// seen is when each printed delivery had changed.
	seen map[uuid.UUID]time.Time
	// shown counts the lines; most is their maximum, 0 for no limit.
	shown, most int
}

// look prints what has changed since the last call, the oldest first.
func (t *tail) look(ctx context.Context) error {
	t.filter.From = t.begin
	if earliest := time.Now().Add(-t.back); earliest.After(t.begin) {
		t.filter.From = earliest
	}
	list, err := take(t.api.Deliveries.List(ctx, t.filter), tailAtOnce)
	if err != nil {
		return err
	}
	if len(list) == tailAtOnce {
		fmt.Fprintf(t.app.Err, "more than %d at once: some are not shown\n", tailAtOnce)
	}
	now := make(map[uuid.UUID]time.Time, len(list))
	changed := list[:0]
	for _, d := range list {
		now[d.ID] = d.ModifiedDate
		if !t.seen[d.ID].Equal(d.ModifiedDate) {
			changed = append(changed, d)
		}
	}
	t.seen = now
	slices.SortFunc(changed, func(a, b api.Delivery) int { return a.ModifiedDate.Compare(b.ModifiedDate) })
	for i := range changed {
		if t.most > 0 && t.shown == t.most {
			return nil
		}
		if err := t.show(&changed[i]); err != nil {
			return err
		}
	}
	return nil
}

// show prints a line. Its columns have fixed widths because later lines are unknown. With --json it prints an object.
func (t *tail) show(d *api.Delivery) error {
	t.shown++
	if t.app.asJSON() {
		return t.app.encode(d, "")
	}
	if t.app.Width > 0 && t.app.Width < tailWidth {
		return t.showNarrow(d)
	}
	const format = "%-12s  %-36s  %-33s  %-19s  %-3s  %-6s  %s\n"
	if t.shown == 1 {
		fmt.Fprintf(t.app.Out, format, "TIME", "DELIVERY", "EVENT TYPE", "ENTITY", "TRY", "STATUS", "STATE")
	}
	_, err := fmt.Fprintf(t.app.Out, format, d.ModifiedDate.Local().Format("15:04:05.000"), d.ID, oneLine(d.EventType),
		oneLine(firstText(d.Entity, "-")), fmt.Sprintf("#%d", d.AttemptCount), firstText(httpStatus(d.Status), string(d.ErrorClass)), tailState(d, true))
	return err
}

// tailWidth is the width of a complete line. On a narrower terminal, ids and types are shortened to prefixes, which
// other commands accept.
const tailWidth = 150

func (t *tail) showNarrow(d *api.Delivery) error {
	const format = "%-8s  %-8s  %-24s  %-3s  %-6s  %s\n"
	if t.shown == 1 {
		fmt.Fprintf(t.app.Out, format, "TIME", "DELIVERY", "EVENT TYPE", "TRY", "STATUS", "STATE")
	}
	eventType, status := oneLine(d.EventType), oneLine(firstText(httpStatus(d.Status), string(d.ErrorClass)))
	_, err := fmt.Fprintf(t.app.Out, format, d.ModifiedDate.Local().Format("15:04:05"), d.ID.String()[:8], shortened(eventType, 24), fmt.Sprintf("#%d", d.AttemptCount), shortened(status, 6), tailState(d, d.NextAttemptDate == nil))
	return err
}

// shortened returns the beginning of a text that is too long for a column.
func shortened(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

// tailState returns the state, optionally with its reason, and what follows from it.
func tailState(d *api.Delivery, reason bool) string {
	state := string(d.State)
	if reason {
		state = withReason(state, string(d.Reason))
	}
	if d.NextAttemptDate != nil {
		state += ", next " + d.NextAttemptDate.Local().Format("15:04:05")
	}
	return state
}
