package console

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Charts are rendered on the server as SVG, by templates from these values. The units are those of the view box.

// bar is a rectangle of a chart.
type bar struct {
	X, Y, Width, Height float64
	// Class determines the bar's color.
	Class string
	Label string
}

// Sizes of the retry chart's view box.
const (
	retryWidth = 600
	retryDot   = 6
)

// retryBars places the retries on a logarithmic time axis, from the first attempt, so that both 5 seconds and 24
// hours are visible.
func retryBars(steps []webhook.RetryStep) []bar {
	if len(steps) == 0 {
		return nil
	}
	most := math.Log1p(steps[len(steps)-1].AfterMax.Seconds())
	bars := make([]bar, len(steps))
	for i, s := range steps {
		x := func(d time.Duration) float64 {
			return round(math.Log1p(d.Seconds()) / most * (retryWidth - 2*retryDot))
		}
		left, right := x(s.AfterMin), x(s.AfterMax)
		bars[i] = bar{X: left, Width: round(max(right-left, 0) + 2*retryDot), Label: span(s.AfterMin, s.AfterMax)}
	}
	return bars
}

func round(f float64) float64 { return math.Round(f*10) / 10 }

// Sizes of the small charts of a hook's last day.
const (
	sparkHours  = 24
	sparkStep   = 5
	sparkBar    = 4
	sparkHeight = 24
)

// spark is a small chart of a hook's deliveries per hour.
type spark struct {
	Bars []barPath
	Sum  usecase.Counts
	// Rate is the share of deliveries that were delivered, as text; empty if there are none.
	Rate string
	// Text describes the bars in words.
	Text string
}

// newSpark draws hourly buckets.
func newSpark(buckets []usecase.Bucket, since time.Time) spark {
	s := spark{}
	most := 1
	var bars []bar
	for _, b := range buckets {
		most = max(most, b.Total())
		s.Sum.Delivered, s.Sum.Open, s.Sum.Dead = s.Sum.Delivered+b.Delivered, s.Sum.Open+b.Open, s.Sum.Dead+b.Dead
	}
	for _, b := range buckets {
		x := b.At.Sub(since).Hours() * sparkStep
		bars = append(bars, stack(b.Counts, x, sparkBar, sparkHeight, most)...)
	}
	s.Bars = paths(bars)
	s.Rate = rate(s.Sum)
	s.Text = fmt.Sprintf("%s delivered, %s waiting or parked, %s dead", amount(s.Sum.Delivered), amount(s.Sum.Open), amount(s.Sum.Dead))
	return s
}

// rate returns the share of deliveries that were delivered. Waiting and parked ones do not count as delivered.
func rate(c usecase.Counts) string {
	if c.Total() == 0 {
		return ""
	}
	percent := 100 * float64(c.Delivered) / float64(c.Total())
	switch {
	case c.Delivered == c.Total():
		return "100 %"
	case percent > 99.9:
		return "> 99.9 %"
	}
	return strconv.FormatFloat(percent, 'f', 1, 64) + " %"
}

// stack draws the counts as stacked bars, delivered at the bottom. A count above zero is at least one unit high.
func stack(c usecase.Counts, x, width, height float64, most int) []bar {
	var bars []bar
	bottom := height
	for _, part := range []struct {
		n     int
		class string
	}{{c.Delivered, "bar-delivered"}, {c.Open, "bar-open"}, {c.Dead, "bar-dead"}} {
		if part.n == 0 {
			continue
		}
		h := max(1.5, float64(part.n)/float64(most)*(height-2))
		bottom -= h
		bars = append(bars, bar{X: round(x), Y: round(max(bottom, 0)), Width: width, Height: round(h), Class: part.class})
	}
	return bars
}

// barPath is all bars of one class as the data of one SVG path, which keeps a page with fifty charts small.
type barPath struct{ Class, Data string }

func paths(bars []bar) []barPath {
	var list []barPath
	var classes []string
	for _, b := range bars {
		if !slices.Contains(classes, b.Class) {
			classes = append(classes, b.Class)
		}
	}
	for _, class := range classes {
		var data strings.Builder
		for _, b := range bars {
			if b.Class == class {
				fmt.Fprintf(&data, "M%g %gh%gv%gh-%[3]gz", b.X, b.Y, b.Width, b.Height)
			}
		}
		if data.Len() > 0 {
			list = append(list, barPath{Class: class, Data: data.String()})
		}
	}
	return list
}
