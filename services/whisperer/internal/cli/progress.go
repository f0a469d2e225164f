package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// barWidth is the width of a full bar in characters.
const barWidth = 30

// progress shows a progress bar on one line of the standard error stream, which it rewrites. If that is not a
// terminal it shows nothing.
type progress struct {
	out   io.Writer
	live  bool
	what  string
	begin time.Time
	shown bool
}

func (a *app) progress(what string) *progress {
	return &progress{out: a.Err, live: a.Live, what: what, begin: time.Now()}
}

// set shows done of total. A total of 0 counts as complete.
func (p *progress) set(done, total int, note string) {
	if !p.live {
		return
	}
	part := 1.0
	if total > 0 {
		part = min(float64(done)/float64(total), 1)
	}
	if note != "" {
		note = "  " + oneLine(note)
	}
	full := int(part * barWidth)
	eta := ""
	if spent := time.Since(p.begin); part > 0 && part < 1 && spent > time.Second {
		eta = "  " + time.Duration(float64(spent)*(1-part)/part).Round(time.Second).String() + " left"
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s%s %3.0f %%  %d of %d %s%s%s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
		part*100, done, total, p.what, eta, note)
	p.shown = true
}

// end finishes the line. It may be called repeatedly.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.out)
	}
	p.shown = false
}
