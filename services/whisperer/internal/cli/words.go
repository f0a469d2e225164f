package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// fold breaks a text between words into lines of at most width columns, 0 for no limit. All lines but the first begin
// with the indent. A word that is longer stays whole, so that it can be copied.
func fold(text string, width int, indent string) string {
	if width == 0 {
		return text
	}
	b, column := &strings.Builder{}, 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width && column > len(indent):
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// complain writes a line about an error. On a terminal it is folded, with continuation lines indented by two more
// columns.
func (p *Program) complain(indent, format string, args ...any) {
	width := 0
	if p.Live {
		width = p.Width
	}
	fmt.Fprintln(p.Err, fold(indent+fmt.Sprintf(format, args...), width, indent+"  "))
}

// done tells the user what was done, for commands that print nothing else.
func (a *app) done(format string, args ...any) {
	if !a.asJSON() {
		fmt.Fprintf(a.Err, format+"\n", args...)
	}
}

// The parser's messages, and our wording.
var (
	notOneOf  = regexp.MustCompile(`^(--[a-z-]+|<.*>) must be one of (.*) but got (".*")$`)
	notNumber = regexp.MustCompile(`^(\S+): expected a valid \d+ bit int but got (".*")$`)
	noCommand = regexp.MustCompile(`^expected (one of )?"[a-z]`)
	noArg     = regexp.MustCompile(`^expected "(<.*)"$`)
)

// misuse says what is wrong with a command line, and which help to read.
func misuse(err error) string {
	text, command := err.Error(), "whisperer"
	var wrong *kong.ParseError
	var node *kong.Node
	if errors.As(err, &wrong) && wrong.Context != nil {
		if node = wrong.Context.Selected(); node != nil {
			command += " " + node.Path()
		}
	}
	if m := notOneOf.FindStringSubmatch(text); m != nil {
		values := strings.Split(strings.ReplaceAll(m[2], `"`, ""), ",")
		named := values[:0]
		for _, v := range values {
			if v != "" {
				named = append(named, v)
			}
		}
		text = fmt.Sprintf("%s: must be one of %s, not %s", m[1], strings.Join(named, ", "), m[3])
	}
	if noCommand.MatchString(text) && node != nil {
		var names []string
		for _, child := range node.Children {
			names = append(names, child.Name)
		}
		text = "a command is missing: " + strings.Join(names, ", ")
	}
	text = notNumber.ReplaceAllString(text, "$1: must be a whole number, not $2")
	text = noArg.ReplaceAllString(text, "an argument is missing: $1")
	return fmt.Sprintf("%s (see %s --help)", text, command)
}

// zeros matches the units of a duration that are zero.
var zeros = regexp.MustCompile(`([hm])0m0s$|([hm])0s$`)

// short formats a duration without trailing zeros: 2h30m, not 2h30m0s.
func short(d time.Duration) string { return zeros.ReplaceAllString(d.String(), "$1$2") }

// number formats a count with the singular or plural of its noun.
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
