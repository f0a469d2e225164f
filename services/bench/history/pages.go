package history

// consolePage is a page of the console.
type consolePage struct{ name, path string }

// pages returns all pages that are measured.
func (w *world) pages() []consolePage {
	newest := &w.samples[0]
	hook := func(n int) string { return "hooks/" + w.hooks[n].String() + "/" }
	busy, failing, quiet := hook(0), hook(min(7, len(w.hooks)-1)), hook(len(w.hooks)-1)
	list := []consolePage{
		{"overview", ""},
		{"the busiest hook", busy},
		{"a failing hook", failing},
		{"a quiet hook", quiet},
		{"replay of the busiest hook", busy + "replay"},
		{"changes of a hook", busy + "changes"},
		{"integrate a hook", busy + "integrate"},
		{"deliveries of the busiest hook", "deliveries/?hook=" + w.hooks[0].String()},
		{"deliveries of a quiet hook", "deliveries/?hook=" + w.hooks[len(w.hooks)-1].String()},
		{"deliveries of an entity", "deliveries/?entity=" + newest.Entity},
		{"a delivery", "deliveries/" + newest.ID.String() + "/"},
		{"an event", "event?id=" + newest.EventID},
		{"explain an event", "event/explain?id=" + newest.EventID},
	}
	for _, path := range []string{
		"hooks/", "hooks/?sort=name", "hooks/?sort=failing", "hooks/?sort=activity", "hooks/?search=0042", "hooks/new", "deliveries/",
		"deliveries/?state=dead", "deliveries/?state=waiting,parked,dead&since=720h", "deliveries/?event_type=package.%3E", "deliveries/?status=5xx",
		"deliveries/retry?state=dead", "events/", "events/?event_type=order.created", "rejected/", "types/", "tokens/", "audit/", "system/",
	} {
		list = append(list, consolePage{name: path, path: path})
	}
	return list
}
