package receiver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Line is the printed line about one webhook.
type Line struct {
	At        time.Time
	EventType string
	Entity    string
	Hook      string
	Attempt   int
	// Status is 0 if Fault replaced the response.
	Status int
	Fault  Fault
	// After is the time since the event; 0 if unknown.
	After   time.Duration
	Verdict Verdict
	// Why says what is wrong with the signature; it is printed on a line of its own.
	Why    string
	Replay bool
	// Left is how many previous lines were left out.
	Left int
}

// widths of a line's columns; the longest built-in event type, entity and so on fit.
const (
	typeWidth   = 33
	entityWidth = 19
	hookWidth   = 16
	afterWidth  = 8
)

// Printer prints lines for people. It is safe for concurrent use.
type Printer struct {
	mu     sync.Mutex
	out    io.Writer
	color  bool
	narrow bool
}

// NewPrinter returns a printer; color is for terminals.
func NewPrinter(out io.Writer, color bool) *Printer { return &Printer{out: out, color: color} }

// fullWidth is how many columns a complete line takes. On a narrower terminal the entity, the time since the event
// and the milliseconds are left out, and narrowType and narrowHook are the widths of the other columns.
const (
	fullWidth              = 126
	narrowType, narrowHook = 27, 14
)

// Fit fits lines into a terminal of the given width, as far as possible; 0 means that there is no terminal.
func (p *Printer) Fit(width int) *Printer {
	p.narrow = width > 0 && width < fullWidth
	return p
}

// Head prints the names of the columns.
func (p *Printer) Head() {
	if p.narrow {
		p.write(p.paint(dim, fmt.Sprintf("%-8s  %s  %s  %-3s  %-6s  %s", "TIME", pad("EVENT TYPE", narrowType), pad("HOOK", narrowHook), "TRY", "STATUS", "SIGNATURE")) + "\n")
		return
	}
	p.write(p.paint(dim, fmt.Sprintf("%-12s  %s  %s  %s  %-3s  %-6s  %*s  %s", "TIME", pad("EVENT TYPE", typeWidth),
		pad("ENTITY", entityWidth), pad("HOOK", hookWidth), "TRY", "STATUS", afterWidth, "AFTER", "SIGNATURE")) + "\n")
}

// Text prints a text unchanged.
func (p *Printer) Text(s string) { p.write(s) }

// Line prints one webhook's line.
func (p *Printer) Line(l Line) { p.write(p.line(l)) }

// Received prints a webhook's line, followed by its headers and its body; JSON is indented.
func (p *Printer) Received(l Line, r *Received) {
	b := &strings.Builder{}
	b.WriteString(p.line(l))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			fmt.Fprintf(b, "    %s %s\n", p.paint(dim, strings.ToLower(name)+":"), printable(value))
		}
	}
	indented := &bytes.Buffer{}
	if json.Indent(indented, r.Body, "    ", "  ") != nil {
		indented.Reset()
		indented.Write(r.Body)
	}
	fmt.Fprintf(b, "\n    %s\n\n", printable(indented.String()))
	p.write(b.String())
}

func (p *Printer) line(l Line) string {
	status := strconv.Itoa(l.Status)
	if l.Fault != "" {
		status = string(l.Fault)
	}
	try := "#" + strconv.Itoa(l.Attempt)
	if l.Attempt == 0 {
		try = "-"
	}
	if l.Replay {
		try += "r"
	}
	after := "-"
	if l.After > 0 {
		after = Short(l.After)
	}
	statusColor := red
	if l.Status >= 200 && l.Status <= 299 {
		statusColor = green
	}
	why, left := "", ""
	if l.Why != "" {
		why = "    " + p.paint(red, printable(l.Why)) + "\n"
	}
	if l.Left > 0 {
		left = p.paint(dim, fmt.Sprintf("  (and %d more)", l.Left))
	}
	if p.narrow {
		return fmt.Sprintf("%s  %s  %s  %-3s  %s  %s%s\n%s", p.paint(dim, l.At.Local().Format("15:04:05")), p.paint(bold, pad(l.EventType, narrowType)),
			pad(l.Hook, narrowHook), try, p.paint(statusColor, pad(status, len("STATUS"))), p.verdict(l.Verdict), left, why)
	}
	return fmt.Sprintf("%s  %s  %s  %s  %-3s  %s  %*s  %s%s\n%s",
		p.paint(dim, l.At.Local().Format("15:04:05.000")), p.paint(bold, pad(l.EventType, typeWidth)),
		pad(l.Entity, entityWidth), pad(l.Hook, hookWidth), try, p.paint(statusColor, pad(status, len("STATUS"))),
		afterWidth, after, p.verdict(l.Verdict), left, why)
}

func (p *Printer) verdict(v Verdict) string {
	switch v {
	case Verified:
		return p.paint(green, "✓ verified")
	case Unchecked:
		return p.paint(dim, "- not checked")
	default:
		return p.paint(red, "✗ "+string(v))
	}
}

func (p *Printer) write(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.out, s) // nothing can be done if the terminal is gone
}

// color is an ANSI escape (ECMA-48 SGR).
type color string

const (
	bold  color = "\x1b[1m"
	dim   color = "\x1b[2m"
	red   color = "\x1b[31m"
	green color = "\x1b[32m"
	reset color = "\x1b[0m"
)

func (p *Printer) paint(c color, s string) string {
	if !p.color {
		return s
	}
	return string(c) + s + string(reset)
}

// pad makes s exactly width columns wide, assuming that each character takes one; an empty s becomes a dash.
func pad(s string, width int) string {
	if s == "" {
		s = "-"
	}
	s = printable(s)
	n := utf8.RuneCountInString(s)
	if n > width {
		return string([]rune(s)[:width-1]) + "…"
	}
	return s + strings.Repeat(" ", width-n)
}

// printable replaces control characters by question marks, so that received text cannot control the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
}

// Short formats a duration in at most seven characters: 950 µs, 12 ms, 4.2 s, 3 m 5 s, 2 h 7 m.
func Short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	}
}
