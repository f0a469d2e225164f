package history

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// lookUp is a kind of request; path returns the path of the nth one.
type lookUp struct {
	name string
	path func(n int) string
}

// lookUps returns all kinds that are measured.
func (w *world) lookUps() []lookUp {
	sample := func(n int) *webhook.Delivery { return &w.samples[n%len(w.samples)] }
	hook := func(n int) string { // the busiest hook every fourth time
		if n%4 == 0 {
			return w.hooks[0].String()
		}
		return sample(n).HookID.String()
	}
	fixed := func(path string) func(int) string { return func(int) string { return path } }
	return []lookUp{
		{"events", fixed("events/")},
		{"events of a type", func(n int) string { return "events/?event_type=" + sample(n).EventType }},
		{"events of a pattern", fixed("events/?event_type=transfer.>")},
		{"events of an entity", func(n int) string { return "events/?entity=" + sample(n).Entity }},
		{"events of an hour", func(n int) string { return "events/?" + hour(sample(n)) }},
		{"events by their payload, a day", func(n int) string { return "events/?data_contains=" + awb(n) + "&" + day(sample(n)) }},
		{"events by a number in it, a day", func(n int) string { return "events/?data_contains=" + number(n) + "&" + day(sample(n)) }},
		{"events by a path in it, a day", func(n int) string { return "events/?data_path=" + path(n) + "&" + day(sample(n)) }},
		{"events by text in it, a day", func(n int) string { return "events/?data_text=AWB" + strconv.Itoa(n) + "&" + day(sample(n)) }},
		{"deliveries by payload, a day", func(n int) string { return "deliveries/?data_contains=" + awb(n) + "&" + day(sample(n)) }},
		{"events of a type never published", fixed("events/?event_type=never.published")},
		{"an event", func(n int) string { return "events/" + sample(n).EventID + "/" }},
		{"explain an event", func(n int) string { return "events/" + sample(n).EventID + "/explain/" }},
		{"deliveries", fixed("deliveries/")},
		{"deliveries, 250 of them", fixed("deliveries/?limit=250")},
		{"dead deliveries", fixed("deliveries/?state=dead")},
		{"waiting deliveries of a hook", func(n int) string {
			return "deliveries/?state=waiting&hook=" + w.waiting[n%len(w.waiting)].HookID.String()
		}},
		{"deliveries of a hook", func(n int) string { return "deliveries/?hook=" + hook(n) }},
		{"deliveries of a hook and type", func(n int) string {
			return "deliveries/?hook=" + sample(n).HookID.String() + "&event_type=" + sample(n).EventType
		}},
		{"deliveries of an event", func(n int) string { return "deliveries/?event=" + sample(n).EventID }},
		{"deliveries of an entity", func(n int) string { return "deliveries/?entity=" + sample(n).Entity }},
		{"deliveries of a type", func(n int) string { return "deliveries/?event_type=" + sample(n).EventType }},
		{"deliveries of a type never published", fixed("deliveries/?event_type=never.published")},
		{"deliveries of the busiest hook and no type", fixed("deliveries/?event_type=never.published&hook=" + w.hooks[0].String())},
		{"dead deliveries, a month", func(int) string {
			return "deliveries/?state=dead&from=" + time.Now().AddDate(0, 0, -30).UTC().Format(time.RFC3339)
		}},
		{"deliveries by a status of success", fixed("deliveries/?status=204")},
		{"deliveries by status", fixed("deliveries/?status=503")},
		{"deliveries by status class", fixed("deliveries/?status_class=5xx")},
		{"deliveries with a rare status", fixed("deliveries/?status=418")},
		{"deliveries of an hour", func(n int) string { return "deliveries/?" + hour(sample(n)) }},
		{"a delivery with its attempts", func(n int) string { return "deliveries/" + sample(n).ID.String() + "/" }},
		{"deliveries of a hook's page", func(n int) string { return "hooks/" + hook(n) + "/deliveries/" }},
		{"the busiest hook's figures", fixed("hooks/" + w.hooks[0].String() + "/stats/")},
		{"a failing hook's figures", fixed("hooks/" + w.hooks[min(7, len(w.hooks)-1)].String() + "/stats/")},
		{"a hook's figures", func(n int) string { return "hooks/" + hook(n) + "/stats/" }},
		{"hook events by object", func(n int) string { return "hook_events/?object_id=" + strings.TrimPrefix(sample(n).Entity, "order:") }},
		{"hook events not delivered", fixed("hook_events/?delivered=false")},
		{"rejected events", fixed("rejected-events/")},
		{"hooks", fixed("hooks/")},
		{"jobs", fixed("jobs/")},
	}
}

// What is searched for in payloads.
func awb(n int) string    { return url.QueryEscape(fmt.Sprintf(`{"package":{"awb":"AWB%d"}}`, n)) }
func number(n int) string { return url.QueryEscape(fmt.Sprintf(`{"id":%d}`, n)) }
func path(n int) string   { return url.QueryEscape(fmt.Sprintf(`$.package ? (@.awb == "AWB%d")`, n)) }

func day(d *webhook.Delivery) string {
	from := d.PublishedAt.Truncate(24 * time.Hour)
	return "from=" + from.Format(time.RFC3339) + "&to=" + from.Add(24*time.Hour).Format(time.RFC3339)
}

func hour(d *webhook.Delivery) string {
	from := d.PublishedAt.Truncate(time.Hour)
	return "from=" + from.Format(time.RFC3339) + "&to=" + from.Add(time.Hour).Format(time.RFC3339)
}
