package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

var update = flag.Bool("update", false, "write the table into docs/configuration.md")

const configuration = "docs/configuration.md"

func TestConfigurationTableIsThatOfTheServices(t *testing.T) {
	t.Parallel()
	const begin, end = "-update` -->\n", "<!-- end of configuration -->"
	text := readPage(t, configuration).text
	head, rest, ok := strings.Cut(text, begin)
	require.True(t, ok)
	_, tail, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := head + begin + table() + end + tail
	if *update {
		require.NoError(t, os.WriteFile(filepath.Join(root, configuration), []byte(want), 0o600))
		return
	}
	require.Equal(t, want, text, "run the command that the page names above the table")
}

func TestNoVariableIsTakenForMisspelt(t *testing.T) {
	t.Parallel()
	apis, workers := variables()
	for _, v := range append(apis, workers...) {
		require.Empty(t, daemon.Unknown([]string{v.Name + "=x"}), "add it to the names that services/internal/daemon knows")
	}
}

// variables returns the variables of the services.
func variables() (api, worker []daemon.Variable) {
	return daemon.Describe[subscriptionapi.Config](), daemon.Describe[deliveryworker.Config]()
}

// table describes the variables of both services, those of subscription-api first.
func table() string {
	type row struct {
		daemon.Variable

		api, worker bool
	}
	var rows []*row
	byName := map[string]*row{}
	apis, workers := variables()
	for i, list := range [][]daemon.Variable{apis, workers} {
		for _, v := range list {
			if byName[v.Name] == nil {
				byName[v.Name] = &row{Variable: v}
				rows = append(rows, byName[v.Name])
			}
			r := byName[v.Name]
			if r.api, r.worker = r.api || i == 0, r.worker || i == 1; r.Default != v.Default {
				r.Default += "`, worker `" + v.Default
			}
		}
	}
	b := &strings.Builder{}
	b.WriteString("| variable | service | default | meaning |\n|---|---|---|---|\n")
	for _, r := range rows {
		of := "both"
		switch {
		case !r.worker:
			of = "API"
		case !r.api:
			of = "worker"
		}
		value := "`" + r.Default + "`"
		switch {
		case r.Required:
			value = "**required**"
		case r.Default == "":
			value = ""
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", r.Name, of, value, r.Description)
	}
	return b.String()
}
