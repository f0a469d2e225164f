package cli_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

// hookList returns the output for three hooks on a terminal of the given width; 0 means that there is no terminal.
func hookList(t *testing.T, width int, args ...string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hook := func(id, name, target string) string {
			return fmt.Sprintf(`{"id":%q,"name":%q,"status":"active","event_types":["order.created","package.status.ready_to_shipment"],"target_url":%q}`, id, name, target)
		}
		fmt.Fprintf(w, `{"next":null,"previous":null,"results":[%s,%s,%s]}`,
			hook("01a22bb5-d91d-7000-8000-000000000001", "erp", "https://erp.example.com/a/rather/long/path/that/does/not/fit/into/a/column/of/a/narrow/terminal/at/all"),
			hook("01a22bb5-d91d-7000-9000-000000000001", "a name of several words that goes on and on", "https://crm.example.com/"),
			hook("01a22bb6-0000-7000-8000-000000000001", "Größe", "https://x.example.com/"))
	}))
	t.Cleanup(server.Close)
	var out, problems bytes.Buffer
	code := cli.Run(t.Context(), cli.Program{Args: append([]string{"--url", server.URL, "--token", "t", "hook", "list"}, args...), Out: &out, Err: &problems, Width: width})
	require.Zero(t, code, problems.String())
	return out.String()
}

func TestAListFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, width := range []int{72, 80, 100, 132} {
		shown := hookList(t, width)
		for line := range strings.Lines(shown) {
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), width, shown)
		}
		require.Contains(t, shown, "01a22bb5-d91d-7000-8  ", "the shortest beginnings that differ, which commands take")
		require.Contains(t, shown, "01a22bb5-d91d-7000-9  ")
	}
}

func TestWhatProgramsReadAndWhatIsAskedWholeIsNotCut(t *testing.T) {
	t.Parallel()
	for _, shown := range []string{hookList(t, 0), hookList(t, 40, "--wide")} {
		require.Contains(t, shown, "01a22bb5-d91d-7000-8000-000000000001  erp ")
		require.Contains(t, shown, "/narrow/terminal/at/all\n")
		require.Equal(t, 4, strings.Count(shown, "\n"))
	}
	require.Equal(t, "NAME\nerp\na name of several words that goes on and on\nGröße\n", hookList(t, 0, "--columns", "name"))
}

func TestListsArePrintedForSpreadsheetsAndLineByLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "NAME,STATUS\r\nerp,active\r\na name of several words that goes on and on,active\r\nGröße,active\r\n", hookList(t, 40, "--csv", "--columns", "name,status"))
	rows, err := csv.NewReader(strings.NewReader(hookList(t, 40, "--csv"))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	require.Equal(t, "01a22bb5-d91d-7000-8000-000000000001", rows[1][0])
	lines := strings.Split(strings.TrimSpace(hookList(t, 40, "--ndjson")), "\n")
	require.Len(t, lines, 3)
	require.Contains(t, lines[2], `"name":"Größe"`)
	for _, args := range [][]string{{"--csv", "--json"}, {"--csv", "--ndjson"}, {"--ndjson", "--jq", "."}} {
		var problems bytes.Buffer
		code := cli.Run(t.Context(), cli.Program{Args: append([]string{"profile", "list"}, args...), Out: &problems, Err: &problems, Environ: []string{"HOME=" + t.TempDir()}})
		require.Equal(t, 2, code, problems.String())
	}
}

func TestErrorsAndTopicsFitTheTerminal(t *testing.T) {
	t.Parallel()
	said := func(live bool, args ...string) string {
		var out bytes.Buffer
		cli.Run(t.Context(), cli.Program{Args: args, Out: &out, Err: &out, Width: 80, Live: live})
		return out.String()
	}
	wrong := []string{"event", "list", "--since", "soon"}
	require.Equal(t, 1, strings.Count(said(false, wrong...), "\n"), "one line for programs")
	for _, args := range [][]string{wrong, {"hook"}, {"audit", "list", "--kind", "x"}, {"help", "connect"}, {"help", "names"}, {"help", "output"}, {"help", "repair"}, {"help", "start"}} {
		for line := range strings.Lines(said(true, args...)) {
			require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), 80, "%v: %s", args, line)
		}
	}
}
