package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// barWidth is how many characters a full bar has.
const barWidth = 30

// progress shows on the standard error stream how far something is: one line that is written again and again on a
// terminal, and elsewhere a line for every tenth of the way.
type progress struct {
	out   io.Writer
	live  bool
	what  string
	begin time.Time
	// tenth is the last one that was shown off a terminal, -1 for none, and pending the line since then.
	tenth   int
	pending string
	shown   bool
	ended   bool
}

func (a *app) progress(what string) *progress {
	return &progress{out: a.Err, live: a.Live, what: what, begin: time.Now(), tenth: -1}
}

// set shows done of total. A total of 0 is done with.
func (p *progress) set(done, total int, note string) {
	part := 1.0
	if total > 0 {
		part = min(float64(done)/float64(total), 1)
	}
	if note != "" {
		note = "  " + oneLine(note)
	}
	if !p.live {
		p.pending = fmt.Sprintf("%3.0f %%  %d of %d %s%s\n", part*100, done, total, p.what, note)
		if tenth := int(part * 10); tenth != p.tenth {
			p.tenth = tenth
			p.flush()
		}
		return
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

// flush shows the pending line.
func (p *progress) flush() {
	fmt.Fprint(p.out, p.pending)
	p.pending = ""
}

// end shows where it ended, and leaves the line. It may be called twice.
func (p *progress) end() {
	p.flush()
	if p.shown && !p.ended {
		fmt.Fprintln(p.out)
	}
	p.ended = true
}
