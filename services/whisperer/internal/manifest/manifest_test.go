package manifest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/manifest"
)

// The scripts of the CLI test the whole way from a file to a tenant and back; these tests cover the rest.

func read(text string, env map[string]string) (*manifest.File, error) {
	return manifest.Read([]byte(text), manifest.Options{
		Env:          func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		CanonicalURL: strings.ToLower,
	})
}

func TestReadSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"nothing at all":          {"", "is empty"},
		"no YAML":                 {"hooks: [", "is no YAML"},
		"a list":                  {"- a", "must be a mapping"},
		"hooks that are no list":  {"hooks: {a: 1}", "line 1: hooks must be a list"},
		"a hook that is a word":   {"hooks: [a]", "line 1: a hook must be a mapping"},
		"a field that is twice":   {"hooks:\n- {name: a, name: b}", "line 2: name is there twice"},
		"a merge key":             {"x: &x {a: 1}\nhooks:\n- {name: a, config: {<<: *x}}", "<< is not supported"},
		"a second document":       {"hooks: []\n---\nhooks: []\n", "more than one YAML document"},
		"an octal number":         {"hooks:\n- {name: a, config: {zip: 01234}}", "line 2: 01234 is no number that JSON has"},
		"a header that is octal":  {"hooks:\n- {name: a, additional_headers: {zip: 01234}}", "line 2: 01234 is no number"},
		"a header with a number":  {"hooks:\n- name: a\n  additional_headers:\n    X-V: 1.10", "line 4: additional_headers: X-V is no text"},
		"a header that is true":   {"hooks:\n- {name: a, additional_headers: {X-On: true}}", "additional_headers: X-On is no text"},
		"a number that is none":   {"hooks:\n- {name: a, config: {x: .nan}}", "line 2: .nan is no number that JSON has"},
		"a text for a list":       {"hooks:\n- {name: a, event_types: 1}", "event_types must not be a number"},
		"a status of ours":        {"hooks:\n- {name: a, event_types: [b], target_url: http://c/, status: disabled}", "can be active or paused"},
		"a field of a type":       {"event_types: [{name: a, shema: {}}]", `unknown field "shema"`},
		"a type that is no name":  {"event_types: [{name: a b}]", "line 1: event type: /name"},
		"a callback's wrong word": {"hooks:\n- {name: a, event_types: [b], target_url: http://c/, callback: {url: http://d/, on: [never]}}", "/callback/on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(c.file, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestReadRefusesAFileThatMeansAnEnormousOne(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("hooks:\n- name: a\n  config:\n    a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n")
	for i := 1; i < 12; i++ {
		n, m := string(rune('a'+i)), string(rune('a'+i-1))
		if i == 1 {
			m = "a0"
		}
		b.WriteString("    " + n + ": &" + n + " [" + strings.Repeat("*"+m+",", 9) + "*" + m + "]\n")
	}
	_, err := read(b.String(), nil)
	require.Error(t, err)
}

const one = "hooks:\n- {name: a, event_types: [order.>], target_url: http://c/, "

func hook(change func(*client.Hook)) client.Hook {
	h := client.Hook{
		ID: uuid.New(), Name: "a", EventTypes: []string{"order.>"}, TargetURL: "http://c/", Status: webhook.Active,
		RetryCountdownConfig: json.RawMessage("null"), Config: json.RawMessage("{}"),
	}
	change(&h)
	return h
}

func TestAPlanShowsNoSecretThatTheFileSpellsOut(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{
		"config: {auth: {auth_type: basic, username: u, password: s3cr3t}}}",
		"config: {auth_type: basic, username: u, password: s3cr3t}}",
		"config: {auth: {auth_type: oauth2, token_url: http://d/, client_id: c, client_secret: s3cr3t, params: {pin: s3cr3t}}}}",
		"additional_headers: {X-Api-Token: s3cr3t, X-Shop: north}}", "secret_key: s3cr3t}", "api_key: s3cr3t}",
	} {
		f, err := read(one+fields, nil)
		require.NoError(t, err, fields)
		for _, have := range [][]client.Hook{nil, {hook(func(*client.Hook) {})}} {
			plan, err := f.Plan(manifest.Has{Hooks: have}, manifest.PlanOptions{Secrets: true})
			require.NoError(t, err)
			require.Len(t, plan, 1)
			shown, err := json.Marshal(plan)
			require.NoError(t, err)
			require.Contains(t, string(shown), "set", fields)
			require.NotContains(t, string(shown), "s3cr3t")
		}
	}
}

func TestPlanSeesOnlyRealDifferences(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields string
		have   func(*client.Hook)
		want   []string // the fields that differ
	}{
		"the same":                     {"}", func(*client.Hook) {}, nil},
		"null is as good as absent":    {"config: null, additional_headers: null, callback: null}", func(*client.Hook) {}, nil},
		"a number's other spelling":    {"config: {x: 1.50}}", func(h *client.Hook) { h.Config = json.RawMessage(`{"x":1.5}`) }, nil},
		"an order of types":            {"}", func(h *client.Hook) { h.EventTypes = []string{"package.>"} }, []string{"event_types"}},
		"absent is the default":        {"}", func(h *client.Hook) { h.Config = json.RawMessage(`{"x":1}`) }, []string{"config"}},
		"an absent status is left":     {"}", func(h *client.Hook) { h.Status = webhook.Paused }, nil},
		"a status that is named":       {"status: active}", func(h *client.Hook) { h.Status = webhook.Disabled }, []string{"status"}},
		"an absent secret is left":     {"}", func(h *client.Hook) { h.HasSecret, h.HasAPIKey = true, true }, nil},
		"null takes a secret away":     {"secret_key: null}", func(h *client.Hook) { h.HasSecret = true }, []string{"secret_key"}},
		"a secret that is there":       {"secret_key: x}", func(h *client.Hook) { h.HasSecret = true }, nil},
		"a callback as the API has it": {"callback: {url: http://d/}}", func(h *client.Hook) { h.Callback = &webhook.Callback{URL: "http://d/"} }, nil},
		"a password is not compared": {
			"config: {auth: {auth_type: basic, username: u, password: p}}}",
			func(h *client.Hook) { h.Config = json.RawMessage(`{"auth":{"auth_type":"basic","username":"u"}}`) },
			nil,
		},
		"a user name is": {
			"config: {auth: {auth_type: basic, username: u, password: p}}}",
			func(h *client.Hook) { h.Config = json.RawMessage(`{"auth":{"auth_type":"basic","username":"v"}}`) },
			[]string{"config"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := read(one+c.fields, nil)
			require.NoError(t, err)
			plan, err := f.Plan(manifest.Has{Hooks: []client.Hook{hook(c.have)}}, manifest.PlanOptions{})
			require.NoError(t, err)
			if c.want == nil {
				require.Empty(t, plan)
				return
			}
			require.Len(t, plan, 1)
			require.Equal(t, manifest.Update, plan[0].Kind)
			var names []string
			for _, d := range plan[0].Fields {
				names = append(names, d.Name)
			}
			require.Equal(t, c.want, names)
		})
	}
}

func TestPlanRefusesToGuessBetweenHooksOfOneName(t *testing.T) {
	t.Parallel()
	f, err := read(one+"}", nil)
	require.NoError(t, err)
	twin := func(*client.Hook) {}
	_, err = f.Plan(manifest.Has{Hooks: []client.Hook{hook(twin), hook(twin)}}, manifest.PlanOptions{})
	require.ErrorContains(t, err, "two hooks of the name")
}

func TestPrunesOnlyTheTypesThatTheTenantDeclared(t *testing.T) {
	t.Parallel()
	have := []api.EventType{{Name: "order.created", BuiltIn: true}, {Name: "shop.closed"}, {Name: "shop.opened"}}
	f, err := read("event_types: [{name: shop-opened}]\nhooks: []", nil)
	require.NoError(t, err)
	plan, err := f.Plan(manifest.Has{Types: have}, manifest.PlanOptions{Prune: true})
	require.NoError(t, err)
	require.Equal(t, []manifest.Change{{Kind: manifest.Delete, Noun: manifest.OfEventType, Name: "shop.closed"}}, plan)
}

func TestWhatIsWrittenIsReadAsItWas(t *testing.T) {
	t.Parallel()
	hooks := []client.Hook{
		hook(func(h *client.Hook) {
			h.Name, h.HasSecret, h.HasAPIKey = "", true, true
			h.Config = json.RawMessage(`{"yes":"no","n":1e3,"s":"${X}","list":[{"a":null}],"auth":{"auth_type":"basic","username":"u"}}`)
		}),
		hook(func(h *client.Hook) { h.Name, h.TargetURL, h.Status = "1 ü", "http://d/", webhook.Paused }),
		hook(func(h *client.Hook) { h.Name, h.TargetURL = "", "http://c/2" }),
	}
	text, vars, err := manifest.Write(&manifest.Has{Tenant: "acme", Hooks: hooks})
	require.NoError(t, err)
	require.Equal(t, []string{"C_2_SECRET", "C_2_API_KEY", "C_2_PASSWORD"}, vars, string(text))
	f, err := read(string(text), map[string]string{"C_2_SECRET": "s", "C_2_API_KEY": "k", "C_2_PASSWORD": "p"})
	require.NoError(t, err, string(text))
	require.Equal(t, "acme", f.Tenant)
	plan, err := f.Plan(manifest.Has{Hooks: hooks}, manifest.PlanOptions{})
	require.NoError(t, err)
	require.Len(t, plan, 2, "the hooks without a name get one")
	for _, c := range plan {
		require.Equal(t, "name", c.Fields[0].Name)
		require.Len(t, c.Fields, 1, string(text))
	}
}

func TestWriteRefusesWhatAViewerSees(t *testing.T) {
	t.Parallel()
	_, _, err := manifest.Write(&manifest.Has{Hooks: []client.Hook{hook(func(h *client.Hook) {
		h.AdditionalHeaders = map[string]string{"X-A": "***"}
	})}})
	require.ErrorIs(t, err, manifest.ErrHidden)
}

func TestAHookThatCannotBeReadIsLeftOutAndNotPruned(t *testing.T) {
	t.Parallel()
	why := "its secrets are sealed with\nanother key"
	hooks := []client.Hook{hook(func(*client.Hook) {}), hook(func(h *client.Hook) { h.Name, h.TargetURL, h.Unreadable = "foreign", "http://d/", &why })}
	text, _, err := manifest.Write(&manifest.Has{Tenant: "acme", Hooks: hooks})
	require.NoError(t, err)
	require.Contains(t, string(text), "# Left out is hook")
	f, err := read(string(text), nil)
	require.NoError(t, err, string(text))
	require.Len(t, f.Hooks, 1)
	plan, err := f.Plan(manifest.Has{Hooks: hooks}, manifest.PlanOptions{Prune: true})
	require.NoError(t, err)
	require.Len(t, plan, 1)
	require.Equal(t, manifest.Leave, plan[0].Kind)
}

func TestPoliciesAreComparedAndWrittenToo(t *testing.T) {
	t.Parallel()
	read := func(text string) *manifest.File {
		f, err := manifest.Read([]byte(text), manifest.Options{CanonicalURL: func(u string) string { return u }})
		require.NoError(t, err)
		return f
	}
	has := manifest.Has{Tenant: "acme", Policies: manifest.Policies{
		Handshake: webhook.HandshakeOff, Retention: []api.RetentionPolicy{{EventType: "order.>", Days: 30}, {EventType: "old.*", Days: 1}},
	}}
	f := read("handshake: always\nretention:\n  - {event_type: order.>, days: 7}\n  - {event_type: customer-created, days: 3}\n")
	told := func(o manifest.PlanOptions) (list []string) {
		plan, err := f.Plan(has, o)
		require.NoError(t, err)
		for _, c := range plan {
			list = append(list, fmt.Sprintf("%s %s %s %v", c.Kind, c.Noun, c.Name, c.Fields))
		}
		return list
	}
	require.Equal(t, []string{
		"update tenant acme [{handshake off always}]", "update retention of order.> [{days 30 7}]", "create retention of customer.created [{days  3}]", "delete retention of old.* []",
	}, told(manifest.PlanOptions{Prune: true}))
	require.Len(t, told(manifest.PlanOptions{}), 3)
	require.Equal(t, []string{"create retention of customer.created [{days  3}]"}, told(manifest.PlanOptions{OnlyNew: true}))

	has.Policies.Handshake = webhook.HandshakeAlways
	text, _, err := manifest.Write(&has)
	require.NoError(t, err)
	f = read(string(text))
	require.Empty(t, told(manifest.PlanOptions{Prune: true}), string(text))
	f = read("hooks: []")
	require.Empty(t, told(manifest.PlanOptions{Prune: true}), "what the file does not speak of stays")

	_, err = manifest.Read([]byte("handshake: never\nretention:\n  - {event_type: a, days: 0}\n  - {event_type: 'a b', days: 1}\n  - {event_type: b, days: 1}\n  - {event_type: B, days: 2}\n  - {day: 1}\n"), manifest.Options{})
	require.EqualError(t, err, "line 1: handshake must be off, new_hosts or always\nline 3: retention: days: must be a whole number from 1 to 3650\n"+
		"line 4: retention: event_type: is not an event type or pattern: use words of a-z, 0-9 and _ joined by dots, * for one word, > for the rest\n"+
		"line 6: retention: event type b is there twice\nline 7: retention: unknown field \"day\"")
}
