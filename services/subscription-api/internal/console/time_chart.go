package console

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Sizes of the time chart's view box, without the axes' labels.
const (
	chartWidth, chartHeight = 600, 120
	chartGap                = 2
)

// chartRange is a time range of a chart, and its number of steps.
type chartRange struct {
	// Text is the range's name in the list of choices, and Long its name in a sentence.
	Name, Text, Long string

	step   time.Duration
	steps  int
	Labels [2]string // at the beginning and in the middle
}

var chartRanges = []chartRange{
	{"1h", "1 h", "last hour", time.Minute, 60, [2]string{"60 min ago", "30 min ago"}},
	{"24h", "24 h", "last 24 h", 30 * time.Minute, 48, [2]string{"24 h ago", "12 h ago"}},
	{"7d", "7 d", "last 7 d", 2 * time.Hour, 84, [2]string{"7 d ago", "3.5 d ago"}},
	{"30d", "30 d", "last 30 d", 12 * time.Hour, 60, [2]string{"30 d ago", "15 d ago"}},
}

// seriesPart says how to show one value of a series' points.
type seriesPart struct{ Class, Text string }

// chartSeries is a kind of data that a time chart shows.
type chartSeries struct {
	Name, Text string
	Parts      []seriesPart
}

var chartSeriesList = []chartSeries{
	{string(usecase.ByState), "Outcome", []seriesPart{{"bar-delivered", "delivered"}, {"bar-open", "waiting or parked"}, {"bar-dead", "dead"}}},
	{string(usecase.ByStatus), "Answer", []seriesPart{
		{"bar-delivered", "2xx"}, {"bar-3xx", "3xx"}, {"bar-open", "4xx"}, {"bar-dead", "5xx"}, {"bar-other", "another status"}, {"bar-none", "no answer"},
	}},
	{string(usecase.ByDuration), "Response time", []seriesPart{{"bar-median", "median"}, {"bar-p99", "up to the 99th percentile"}}},
}

// chartQuery is the part of the page's query about a time chart.
type chartQuery struct {
	Range  chartRange
	Series chartSeries
	// since is when the first step begins.
	since time.Time
	hook  uuid.UUID
}

// readChart parses it; unknown values are ignored.
func readChart(form url.Values, usual string, hook uuid.UUID, now time.Time) chartQuery {
	find := func(name string) int {
		return slices.IndexFunc(chartRanges, func(r chartRange) bool { return r.Name == name })
	}
	at := find(form.Get("range"))
	if at < 0 {
		at = find(usual)
	}
	q := chartQuery{Range: chartRanges[at], hook: hook}
	of := slices.IndexFunc(chartSeriesList, func(s chartSeries) bool { return s.Name == form.Get("by") })
	q.Series = chartSeriesList[max(of, 0)]
	q.since = now.UTC().Truncate(q.Range.step).Add(-time.Duration(q.Range.steps-1) * q.Range.step)
	return q
}

// key identifies the count of a chart.
func (q *chartQuery) key() string { return q.Range.Name + " " + q.Series.Name }

// chartChoice is another range or series to choose.
type chartChoice struct {
	Text, Link string
	Current    bool
}

// timeChart is a chart of deliveries over time. Each step has a tooltip with its numbers and links to its deliveries.
type timeChart struct {
	chartQuery

	Ranges, Choices []chartChoice
	Bars            []barPath
	Slots           []chartSlot
	Ticks           []chartTick
	Sum             usecase.Counts
	// Rate is the share of deliveries that were delivered, as text; empty if there are none.
	Rate string
}

// chartSlot is a step in which something was published.
type chartSlot struct {
	X, Width    float64
	Title, Link string
}

type chartTick struct {
	Y    float64
	Text string
}

// Text describes the chart in words.
func (t *timeChart) Text() string {
	return fmt.Sprintf("%s, %s: %s delivered, %s waiting or parked, %s dead", t.Series.Text, t.Range.Long,
		amount(t.Sum.Delivered), amount(t.Sum.Open), amount(t.Sum.Dead))
}

// timeChart counts what the query asks for, and draws it.
func (c *console) timeChart(ctx context.Context, tenant string, q chartQuery) (t timeChart, err error) {
	t.chartQuery = q
	states, err := c.Cases.Stats.TimeSeries(ctx, tenant, q.hook, q.since, q.Range.step, usecase.ByState)
	if err != nil {
		return t, err
	}
	for _, p := range states {
		t.Sum.Delivered, t.Sum.Open, t.Sum.Dead = t.Sum.Delivered+int(p.Values[0]), t.Sum.Open+int(p.Values[1]), t.Sum.Dead+int(p.Values[2])
	}
	t.Rate = rate(t.Sum)
	points := states
	if by := usecase.Series(q.Series.Name); by != usecase.ByState {
		if points, err = c.Cases.Stats.TimeSeries(ctx, tenant, q.hook, q.since, q.Range.step, by); err != nil {
			return t, err
		}
	}
	t.draw(points)
	for _, r := range chartRanges {
		t.Ranges = append(t.Ranges, chartChoice{Text: r.Text, Link: "?" + url.Values{"range": {r.Name}, "by": {q.Series.Name}}.Encode(), Current: r.Name == q.Range.Name})
	}
	for _, s := range chartSeriesList {
		t.Choices = append(t.Choices, chartChoice{Text: s.Text, Link: "?" + url.Values{"range": {q.Range.Name}, "by": {s.Name}}.Encode(), Current: s.Name == q.Series.Name})
	}
	return t, nil
}

// draw makes bars of the points: stacked values or, for durations, one bar from the median to the 99th percentile.
func (t *timeChart) draw(points []usecase.Point) {
	durations := usecase.Series(t.Series.Name) == usecase.ByDuration
	highest := func(p usecase.Point) float64 {
		if durations {
			return float64(p.Values[1])
		}
		return float64(p.Total())
	}
	var most float64
	for _, p := range points {
		most = max(most, highest(p))
	}
	top := roundUp(most)
	t.Ticks = []chartTick{{chartHeight, "0"}}
	for _, part := range []float64{0.5, 1} {
		if v := top * part; durations {
			t.Ticks = append(t.Ticks, chartTick{round(chartHeight * (1 - part)), durationText(time.Duration(v) * time.Microsecond)})
		} else if v == math.Trunc(v) {
			t.Ticks = append(t.Ticks, chartTick{round(chartHeight * (1 - part)), amount(int64(v))})
		}
	}
	step := chartWidth / float64(t.Range.steps)
	var bars []bar
	for _, p := range points {
		x := float64(p.At.Sub(t.since)/t.Range.step) * step
		slot := chartSlot{X: round(x), Width: round(step), Title: t.title(p), Link: t.link(p.At)}
		t.Slots = append(t.Slots, slot)
		bars = append(bars, t.bars(p, bar{X: round(x + chartGap/2), Width: round(step - chartGap)}, top, durations)...)
	}
	t.Bars = paths(bars)
}

// bars draws a point. A value above zero is at least one and a half units high.
func (t *timeChart) bars(p usecase.Point, at bar, top float64, durations bool) (bars []bar) {
	height := func(v int64) float64 { return max(1.5, float64(v)/top*chartHeight) }
	if durations {
		median, p99 := height(p.Values[0]), height(p.Values[1])
		whisker, mark := at, at
		whisker.Y, whisker.Height, whisker.Class = round(chartHeight-p99), round(max(p99-median, 1.5)), t.Series.Parts[1].Class
		mark.Y, mark.Height, mark.Class = round(chartHeight-median-1), 2, t.Series.Parts[0].Class
		return append(bars, whisker, mark)
	}
	bottom := float64(chartHeight)
	for i, v := range p.Values {
		if v == 0 {
			continue
		}
		part := at
		part.Height, part.Class = round(height(v)), t.Series.Parts[i].Class
		bottom = max(bottom-part.Height, 0)
		part.Y = round(bottom)
		bars = append(bars, part)
	}
	return bars
}

// title returns the numbers of a point as text.
func (t *timeChart) title(p usecase.Point) string {
	layout := "15:04"
	if t.Range.step*time.Duration(t.Range.steps) > 24*time.Hour {
		layout = "2 Jan 15:04"
	}
	when := fmt.Sprintf("%s to %s UTC", p.At.Format(layout), p.At.Add(t.Range.step).Format("15:04"))
	if usecase.Series(t.Series.Name) == usecase.ByDuration {
		return fmt.Sprintf("%s: median %s, 99th percentile %s, of %s attempts", when,
			durationText(time.Duration(p.Values[0])*time.Microsecond), durationText(time.Duration(p.Values[1])*time.Microsecond), amount(p.Values[2]))
	}
	var parts []string
	for i, v := range p.Values {
		if v > 0 {
			parts = append(parts, amount(v)+" "+t.Series.Parts[i].Text)
		}
	}
	return when + ": " + strings.Join(parts, ", ")
}

// link leads to the deliveries of the events that were published in the step.
func (t *timeChart) link(at time.Time) string {
	q := url.Values{"since": {ownSpan}, "from": {at.Format(momentLayout)}, "to": {at.Add(t.Range.step).Format(momentLayout)}}
	if t.hook != uuid.Nil {
		q.Set("hook", t.hook.String())
	}
	return "/console/deliveries/?" + q.Encode()
}

// roundUp returns the smallest of 1, 2, 5, 10, 20, 50, … that is at least v.
func roundUp(v float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*unit >= v {
				return n * unit
			}
		}
	}
}
