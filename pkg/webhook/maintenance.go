package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, on machines without a database of them
)

// maxWindows is the maximum number of maintenance windows of a hook.
const maxWindows = 20

// Window is a time of day, on some days of the week, during which the receiver wants no requests. Deliveries are
// parked.
type Window struct {
	// Start and End are minutes after midnight. A window whose End is not after its Start extends past midnight.
	Start, End int
	// Days are the days on which the window starts; an empty list means all.
	Days     []time.Weekday
	Location *time.Location
}

// Contains reports whether the time is inside the window.
func (w Window) Contains(t time.Time) bool {
	local := t.In(w.Location)
	minute := local.Hour()*60 + local.Minute()
	if w.Start < w.End {
		return minute >= w.Start && minute < w.End && w.on(local.Weekday())
	}
	yesterday := (local.Weekday() + 6) % 7
	return minute >= w.Start && w.on(local.Weekday()) || minute < w.End && w.on(yesterday)
}

func (w Window) on(day time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, day) }

// InMaintenance reports whether one of the hook's maintenance windows contains the time.
func (c *Config) InMaintenance(t time.Time) bool {
	return slices.ContainsFunc(c.Maintenance, func(w Window) bool { return w.Contains(t) })
}

// windowMembers describes each window of config.maintenance.
var windowMembers = []Field{
	{Name: "start", Kind: KindText, MaxLength: 5, Needed: true, Example: "22:00", Help: "The time of day at which the window begins"},
	{Name: "end", Kind: KindText, MaxLength: 5, Needed: true, Example: "02:00", Help: "The time of day at which the window ends; on the next day if it is not after start"},
	{
		Name: "days", Kind: KindTexts, Choices: []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, Example: `["sat", "sun"]`,
		Help: "The days on which the window begins; all if absent or empty",
	},
	{Name: "timezone", Kind: KindText, Default: `"UTC"`, Example: "Europe/Berlin", Help: "The time zone of start and end, as named in the IANA database"},
}

func parseWindows(raw json.RawMessage, p *ValidationError) []Window {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) > maxWindows {
		p.Add("/maintenance", "must be a list of at most %d windows", maxWindows)
		return nil
	}
	windows := make([]Window, 0, len(list))
	for i, item := range list {
		pointer := fmt.Sprintf("/maintenance/%d", i)
		var in struct {
			Start    string   `json:"start"`
			End      string   `json:"end"`
			Days     []string `json:"days"`
			Timezone string   `json:"timezone"`
		}
		if err := decodeStrict(item, &in); err != nil {
			p.Collect(pointer, err)
			continue
		}
		w := Window{Location: time.UTC}
		var ok bool
		if w.Start, ok = clock(in.Start); !ok {
			p.Add(pointer+"/start", "must be a time such as 22:00")
		}
		if w.End, ok = clock(in.End); !ok {
			p.Add(pointer+"/end", "must be a time such as 02:00")
		}
		for _, name := range in.Days {
			day, ok := weekday(name)
			if !ok {
				p.Add(pointer+"/days", "must be of mon, tue, wed, thu, fri, sat, sun")
				break
			}
			w.Days = append(w.Days, day)
		}
		if in.Timezone != "" {
			location, err := time.LoadLocation(in.Timezone)
			if err != nil || in.Timezone == "Local" {
				p.Add(pointer+"/timezone", "must be a time zone such as Europe/Berlin")
				continue
			}
			w.Location = location
		}
		windows = append(windows, w)
	}
	return windows
}

func clock(s string) (minutes int, ok bool) {
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil
}

func weekday(s string) (time.Weekday, bool) {
	for day := time.Sunday; day <= time.Saturday; day++ {
		if strings.ToLower(day.String()[:3]) == s {
			return day, true
		}
	}
	return 0, false
}
