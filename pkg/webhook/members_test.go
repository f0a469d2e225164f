package webhook_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// exampleOf returns the example of a field as JSON.
func exampleOf(t *testing.T, f *webhook.Field) any {
	t.Helper()
	if f.Kind == webhook.KindText {
		if f.Example == "" {
			require.NotEmpty(t, f.Choices, "%s has neither an example nor choices", f.Name)
			return f.Choices[0]
		}
		return f.Example
	}
	var value any
	require.NoError(t, json.Unmarshal([]byte(f.Example), &value), "%s: %s", f.Name, f.Example)
	return value
}

// taken parses an object with one more member, or without that member if the value is nil.
type taken func(member string, value any) error

// object returns a taken for an object that is based on an example.
func object(t *testing.T, example string, read func(json.RawMessage) error) taken {
	t.Helper()
	require.NoError(t, read(json.RawMessage(example)), example)
	return func(member string, value any) error {
		var members map[string]any
		require.NoError(t, json.Unmarshal([]byte(example), &members))
		if delete(members, member); value != nil {
			members[member] = value
		}
		raw, err := json.Marshal(members)
		require.NoError(t, err)
		return read(raw)
	}
}

// held checks that the description of members matches what the parser does.
func held(t *testing.T, described []webhook.Field, take taken) {
	t.Helper()
	require.ErrorContains(t, take("unheard_of", 1), "unheard_of")
	for i := range described {
		f := &described[i]
		require.NotEmpty(t, f.Help, f.Name)
		if f.Needed && !f.Hidden { // a required secret may be the stored one
			require.ErrorContains(t, take(f.Name, nil), f.Name)
		}
		for _, choice := range f.Choices {
			if f.Kind == webhook.KindTexts {
				require.NoError(t, take(f.Name, []string{choice}), f.Name)
				require.ErrorContains(t, take(f.Name, []string{"unheard of"}), f.Name)
			} else {
				require.ErrorContains(t, take(f.Name, "unheard of"), f.Name)
			}
		}
		switch {
		case f.High > 0 && len(f.Example) > 0 && f.Example[0] == '[':
			require.ErrorContains(t, take(f.Name, []float64{f.Low - 1}), f.Name)
			require.NoError(t, take(f.Name, []float64{f.High}), f.Name)
			require.ErrorContains(t, take(f.Name, []float64{f.High + 1}), f.Name)
		case f.High > 0:
			require.ErrorContains(t, take(f.Name, f.Low-1), f.Name)
			require.ErrorContains(t, take(f.Name, f.High+1), f.Name)
			if f.Name != "min_value" && f.Name != "max_value" { // these two bound each other
				require.NoError(t, take(f.Name, f.Low), f.Name)
				require.NoError(t, take(f.Name, f.High), f.Name)
			}
		}
		if f.MaxItems > 0 && f.Kind != webhook.KindTextMap {
			list, ok := exampleOf(t, f).([]any)
			require.True(t, ok, f.Name)
			require.ErrorContains(t, take(f.Name, slices.Repeat(list[:1], f.MaxItems+1)), f.Name)
		}
		if f.MaxLength > 0 && f.Kind == webhook.KindText {
			require.Error(t, take(f.Name, strings.Repeat("x", f.MaxLength+1)), f.Name)
		}
	}
}

func TestDescribedMembersAreThoseThatAreTaken(t *testing.T) {
	t.Parallel()
	countdown := func(raw json.RawMessage) error { _, err := webhook.ParseCountdown(raw); return err }
	retry := webhook.FieldNamed("retry_countdown_config")
	held(t, retry.Members, object(t, `{"choice": "fixed", "kwargs": {"seconds": 60}}`, countdown))
	for _, choice := range retry.Variants.List {
		var whole map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(choice.Example), &whole))
		held(t, choice.Members, object(t, string(whole["kwargs"]), func(kwargs json.RawMessage) error {
			changed := maps.Clone(whole)
			changed["kwargs"] = kwargs
			raw, err := json.Marshal(changed)
			require.NoError(t, err)
			return countdown(raw)
		}))
	}
	config := func(key string) func(json.RawMessage) error {
		return func(raw json.RawMessage) error {
			whole, err := json.Marshal(map[string]json.RawMessage{key: raw})
			require.NoError(t, err)
			_, err = webhook.ParseConfig(whole)
			return err
		}
	}
	for _, k := range webhook.Keys() {
		read := config(k.Name)
		example, err := json.Marshal(exampleOf(t, &k))
		require.NoError(t, err)
		require.NoError(t, read(example), "%s: %s", k.Name, k.Example)
		for _, form := range k.Variants.List {
			held(t, form.Members, object(t, form.Example, read))
		}
		switch {
		case k.Kind == webhook.KindList:
			held(t, k.Members, object(t, k.Example[1:len(k.Example)-1], func(item json.RawMessage) error {
				return read(slices.Concat([]byte("["), item, []byte("]")))
			}))
		case k.Name == "signature": // a preset determines all the rest
			held(t, k.Members, object(t, `{"header": "X-Signature", "value": "{signature}"}`, read))
		case len(k.Members) > 0:
			held(t, k.Members, object(t, k.Example, read))
		}
	}
	held(t, nil, func(member string, value any) error {
		h := webhook.Hook{Tenant: "default"}
		raw, err := json.Marshal(map[string]any{"url": "https://oms.example.com/", member: value})
		require.NoError(t, err)
		return webhook.FieldNamed("callback").Set(&h, raw)
	})
}

func TestWhatIsShownIsWrittenAsItIsDescribed(t *testing.T) {
	t.Parallel()
	config, err := webhook.ParseConfig(json.RawMessage(`{"timeout": "10", "format": "OMS", "filter": null, "rate_limit": {"limit": "5", "period": 60.0},
		"success": {"statuses": [409.0, "200 - 299", "301-301"]}, "channel_id": "12", "OWN": null}`))
	require.NoError(t, err)
	shown, err := config.Shown()
	require.NoError(t, err)
	require.JSONEq(t, `{"timeout": "10", "format": "oms", "rate_limit": {"limit": 5, "period": 60}, "success": {"statuses": [409, "200-299", 301]},
		"channel_id": "12", "OWN": null}`, string(shown))
	retry := webhook.FieldNamed("retry_countdown_config")
	for written, want := range map[string]string{
		`{"choice": "Exponential", "kwargs": {"base": "1.5", "limit": null}, "jitter": "0.5"}`: `{"choice": "exponential", "kwargs": {"base": "1.5", "limit": null}, "jitter": "0.5"}`,
		`{"choice": "schedule", "kwargs": {"seconds": ["5", 60]}}`:                             `{"choice": "schedule", "kwargs": {"seconds": ["5", 60]}}`,
		`{}`: `{}`, `""`: `null`, `null`: `null`,
	} {
		require.JSONEq(t, want, string(retry.Canonical(json.RawMessage(written))), written)
	}
	plain := json.RawMessage(`{ "choice":"fixed", "kwargs":{"seconds":60} }`)
	require.True(t, bytes.Equal(plain, retry.Canonical(plain)), "what is canonical stays as it is")
}

func TestFlagsAreTrueOrFalse(t *testing.T) {
	t.Parallel()
	f := webhook.Field{Name: "compressed", Kind: webhook.KindFlag}
	for written, want := range map[string]string{`true`: `true`, ` false `: ` false `, `"True"`: `true`, `"false"`: `false`} {
		require.Empty(t, f.Refuses(json.RawMessage(written)), written)
		require.Equal(t, want, string(f.Canonical(json.RawMessage(written))), written)
	}
	for _, written := range []string{`1`, `"yes"`, `""`, `[true]`, `{}`, `null`} {
		require.Equal(t, "must be true or false", f.Refuses(json.RawMessage(written)), written)
		require.Equal(t, written, string(f.Canonical(json.RawMessage(written))), written)
	}
}
