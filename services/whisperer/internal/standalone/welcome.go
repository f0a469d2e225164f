package standalone

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// welcome prints the addresses and what to try.
func (s *system) welcome(out io.Writer) {
	bold, reset := "", ""
	if s.opts.Color {
		bold, reset = "\x1b[1m", "\x1b[0m"
	}
	again := ""
	if s.opts.Again != nil {
		again = " Enter shows this again."
	}
	fmt.Fprintf(out, "\n%sWhisperer %s is running.%s Ctrl-C stops it; the next start reuses the data in %s.%s\n\n",
		bold, s.opts.Version, reset, s.opts.Data, again)
	rows := [][2]string{
		{"console", s.apiURL + "/console/  (sign in with the token)"},
		{"API", s.apiURL + "/whisperer/hooks/"},
		{"API reference", s.apiURL + "/whisperer/docs"},
		{"token", s.token + "  (operator; also in " + s.shown(tokenFile) + ")"},
		{"NATS", s.natsURL + "  (publish to " + bus.Namespace(s.opts.Namespace).EventSubject("<tenant>", "<event type>") + ")"},
		{"PostgreSQL", s.shownDatabase()},
		{"metrics", strings.Join(s.metrics, "  ")},
		{"log", s.shown(logFile)},
	}
	if s.opts.Demo {
		rows = append(rows, [2]string{"receiver", s.receiverURL + "  (the demo's; verifies signatures, prints below)"})
	}
	for _, row := range rows {
		fmt.Fprintf(out, "  %s%-13s%s %s\n", bold, row[0], reset, row[1])
	}
	s.suggest(out, bold, reset)
}

// suggest prints three things to try, ready to be pasted into another terminal.
func (s *system) suggest(out io.Writer, bold, reset string) {
	program, settings := s.opts.Program, ""
	if s.opts.Data != DefaultData {
		settings = fmt.Sprintf("export WHISPERER_URL=%s WHISPERER_TOKEN=%s\n  ", s.apiURL, s.token)
	}
	fmt.Fprintf(out, `
%[1]sTry in another terminal:%[2]s

  %[3]scurl -H 'Authorization: Token %[4]s' %[5]s/whisperer/hooks/

  %[6]s event publish --event-type package.created --example

  %[6]s listen --port 9000 --secret secret &
  curl -H 'Authorization: Token %[4]s' -H 'Content-Type: application/json' %[5]s/whisperer/hooks/ \
    -d '{"event_type": "order.*", "target_url": "http://127.0.0.1:9000/", "secret_key": "secret"}'

`, bold, reset, settings, s.token, s.apiURL, program)
}

// shown returns a path in the form in which the user wrote the folder.
func (s *system) shown(name string) string { return strings.TrimSuffix(s.opts.Data, "/") + "/" + name }

// shownDatabase returns the URL of our own server, with its generated password, and the location of its data if that
// is not in the folder. For a given URL it omits the password, which the user knows.
func (s *system) shownDatabase() string {
	if s.localDatabase == nil {
		u, err := url.Parse(s.databaseURL)
		if err != nil {
			return "(the given one)"
		}
		return u.Redacted()
	}
	if s.localDatabase.Relocated() {
		return s.databaseURL + "\n                (data in " + s.localDatabase.Dir() + ": its user cannot enter " + s.shown(pgDir) + ")"
	}
	return s.databaseURL
}
