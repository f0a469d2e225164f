package cli_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

// filtersOf returns the parameters of the API's lists according to its document, without those of paging.
func filtersOf(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../../subscription-api/internal/httpapi/testdata/openapi.golden.json")
	require.NoError(t, err)
	var document struct {
		Paths map[string]struct {
			Get struct {
				Parameters []struct{ Name, In string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &document))
	filters := map[string][]string{}
	for path, operations := range document.Paths {
		for _, p := range operations.Get.Parameters {
			if p.In == "query" && !slices.Contains([]string{"limit", "cursor", "after"}, p.Name) {
				filters[path] = append(filters[path], p.Name)
			}
		}
		slices.Sort(filters[path])
	}
	return filters
}

// deliveryFlags returns a value for each flag that package api describes.
func deliveryFlags(hook string) []string {
	flags := []string{"--hook=" + hook}
	values := map[string]string{"id_prefix": "0190", "state": "dead"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[api.DeliveryFilter]()) {
		if field.Tag.Get("help") == "" {
			continue
		}
		name := field.Tag.Get("query")
		word, _, _ := strings.Cut(field.Tag.Get("enum"), ",")
		value := cmp.Or(values[name], word, "a")
		if field.Type.Kind() == reflect.Int {
			value = "500"
		}
		flags = append(flags, "--"+strings.ReplaceAll(name, "_", "-")+"="+value)
	}
	return flags
}

func TestWhatListsAreNarrowedByIsThatOfTheAPI(t *testing.T) {
	t.Parallel()
	const id = "0190a5a0-0000-7000-8000-000000000001"
	data := []string{"--since=1h", "--until=1m", `--data-contains={"a":1}`, "--data-path=$.a", "--data-text=a"}
	deliveries := deliveryFlags(id)
	commands := map[string][]string{
		"/whisperer/audit/export/":        {"audit", "export", "--ndjson", "--since=1h", "--until=1m", "--actor=a", "--subject=a", "--kind=hook"},
		"/whisperer/audit/":               {"audit", "list", "--since=1h", "--until=1m", "--actor=a", "--subject=a", "--kind=hook"},
		"/whisperer/deliveries/":          slices.Concat([]string{"delivery", "list"}, deliveries, data),
		"/whisperer/deliveries/export/":   slices.Concat([]string{"delivery", "export", "--csv"}, deliveries, data),
		"/whisperer/deliveries/attempts/": slices.Concat([]string{"delivery", "export", "--attempts", "--ndjson"}, deliveries, data),
		"/whisperer/events/":              slices.Concat([]string{"event", "list", "--event-type=a", "--entity=a", "--off-schema"}, data),
		"/whisperer/hooks/":               {"hook", "list", "--target-url=a", "--event-type=a", "--status=active", "--search=a", "--label=a"},
		"/whisperer/jobs/":                {"job", "list", "--hook=" + id},
		"/whisperer/rejected-events/":     {"rejected", "list", "--since=1h", "--until=1m", "--reason=a", "--subject=a"},
	}
	// These need no flags: what --status=active expresses, lists of one hook, and the predecessor's names.
	elsewhere := map[string][]string{"/whisperer/hooks/": {"is_active"}}
	aliases := []string{"/whisperer/hooks/{id}/deliveries/", "/whisperer/hook_events/", "/whisperer/hooks/{id}/manifest/", "/whisperer/relay/"}
	for path, want := range filtersOf(t) {
		if slices.Contains(aliases, path) || len(want) == 0 {
			continue
		}
		args, there := commands[path]
		require.True(t, there, path)
		var sent []string
		asked := ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.URL.Path
			for name := range r.URL.Query() {
				if name != "limit" {
					sent = append(sent, name)
				}
			}
			_, _ = w.Write([]byte(`{"next":null,"previous":null,"results":[]}`))
		}))
		var out, problems strings.Builder
		code := cli.Run(t.Context(), cli.Program{
			Args: append([]string{"--url=" + server.URL, "--token=t"}, args...), In: strings.NewReader(""), Out: &out, Err: &problems,
		})
		server.Close()
		require.Zero(t, code, problems.String())
		require.Equal(t, path, asked)
		sent = append(sent, elsewhere[path]...)
		slices.Sort(sent)
		require.Equal(t, want, sent, path)
	}
}
