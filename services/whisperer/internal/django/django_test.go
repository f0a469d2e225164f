package django_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/django"
)

const one = `{"model": "whisperer.webhook", "pk": 61, "fields": {"created_date": "2021-03-04T05:06:07.089Z", "user": 7,
	"target_url": "https://shop.example.com/", "is_active": true, "secret_key": "s3cret", "event_type": "package-created",
	"retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 60}}, "additional_headers": {"X-Shop": "12"}, "config": {"channel_id": 12}}}`

func TestReadTakesEveryKindOfDump(t *testing.T) {
	t.Parallel()
	const copied = "COPY \"public\".whisperer_webhook (id, \"user_id\", event_type, is_active, target_url, secret_key, created_date) FROM stdin;\r\n"
	for name, dump := range map[string]string{
		"a list":                         "[" + one + "]",
		"a list after a byte order mark": "\ufeff\n [" + one + `,{"model":"auth.user","pk":1,"fields":{}}]`,
		"one object to a line":           one + "\n" + `{"model":"auth.user","pk":1,"fields":{}}` + "\n",
		"PostgreSQL's COPY":              strings.ReplaceAll(copied, "\r", "") + "61\t7\tpackage-created\tt\thttps://shop.example.com/\ts3cret\t2021-03-04 08:06:07.089+03\n\\.\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := django.Read(strings.NewReader(dump))
			require.NoError(t, err)
			require.Len(t, rows, 1)
			r := rows[0]
			require.Equal(t, []any{"61", "7", "package-created", true, "https://shop.example.com/", "s3cret"},
				[]any{r.PK, r.User, r.EventType, r.IsActive, r.TargetURL, r.SecretKey})
			require.Equal(t, time.Date(2021, 3, 4, 5, 6, 7, 89e6, time.UTC), r.CreatedDate)
		})
	}
}

func TestReadRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ dump, want string }{
		"an empty file":                {"", "no whisperer.webhook"},
		"a dump of something else":     {"CREATE TABLE a ();", "no whisperer.webhook"},
		"a list that is cut off":       {"[" + one + ",", "read object 2"},
		"rows that are cut off":        {"COPY whisperer_webhook (id) FROM stdin;\n1\n", `\. is missing`},
		"a row with a column too much": {"COPY whisperer_webhook (id) FROM stdin;\n1\t2\n\\.\n", "has 2 columns in place of 1"},
		"a time that is none":          {`[{"model":"whisperer.webhook","pk":1,"fields":{"created_date":"yesterday"}}]`, "row 1: created_date is not a time"},
		"JSON in a string that is none": {
			`[{"model":"whisperer.webhook","pk":1,"fields":{"config":"{secret"}}]`, "row 1: config is not JSON",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := django.Read(strings.NewReader(c.dump))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "{secret")
		})
	}
}

func row(t *testing.T, fields string) django.Row {
	t.Helper()
	rows, err := django.Read(strings.NewReader(`[{"model":"whisperer.webhook","pk":61,"fields":` + fields + `}]`))
	require.NoError(t, err)
	return rows[0]
}

func TestHookKeepsWhatTheRowSays(t *testing.T) {
	t.Parallel()
	rows, err := django.Read(strings.NewReader(one))
	require.NoError(t, err)
	h, notes, err := rows[0].Hook("acme", webhook.FormatWhisperer)
	require.NoError(t, err)
	require.Empty(t, notes)
	require.Equal(t, django.HookID("acme", "61"), h.ID)
	require.Equal(t, []string{"package.created"}, h.EventTypes)
	require.Equal(t, []webhook.Secret{{Value: "s3cret"}}, h.Secrets)
	require.Equal(t, map[string]string{"X-Shop": "12"}, h.Headers)
	require.Equal(t, webhook.FormatWhisperer, h.Config.Format)
	require.True(t, h.Config.Contains(json.RawMessage(`{"channel_id":12}`)))
	require.JSONEq(t, `{"choice":"fixed","kwargs":{"seconds":60}}`, string(h.RetryConfig))
	require.Equal(t, webhook.Active, h.Status)

	again, _, err := rows[0].Hook("acme", webhook.FormatWhisperer)
	require.NoError(t, err)
	require.Empty(t, webhook.Changed(&h, &again))
	again.Secrets, again.Status = nil, webhook.Paused
	require.Equal(t, []string{"status", "secret_key"}, webhook.Changed(&h, &again))
}

func TestHookIDs(t *testing.T) {
	t.Parallel()
	own := uuid.MustParse("8c5b6d0e-8a5c-4f53-9f35-0f2a6f9c9d11")
	require.Equal(t, own, django.HookID("acme", own.String()))
	require.Equal(t, uuid.MustParse("84b53b20-a33d-5117-abd3-6b484c2ebd00"), django.HookID("acme", "61"), "never another one")
	require.NotEqual(t, django.HookID("acme", "61"), django.HookID("other", "61"))
	require.NotEqual(t, django.HookID("acme", "61"), django.HookID("acme", "62"))
}

func TestHookTellsWhatIsDifferentFromNowOn(t *testing.T) {
	t.Parallel()
	r := row(t, `{"target_url":"https://shop.example.com/","event_type":"order-created","is_active":false,"secret_key":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"callback":"Oms.tasks.on_answer","additional_headers":{"content-type":"application/json; charset=utf-8"},"config":"{\"format\":\"raw\"}","ip_list":[]}`)
	h, notes, err := r.Hook("acme", webhook.FormatWhisperer)
	require.NoError(t, err)
	require.Equal(t, webhook.Disabled, h.Status)
	require.Equal(t, "whisperer.callback.acme.oms.tasks.on_answer", h.Callback.Subject)
	require.Equal(t, webhook.FormatRaw, h.Config.Format, "what the config says wins")
	require.Empty(t, h.Headers)
	require.Len(t, notes, 5)
}

func TestHookSaysEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	r := row(t, `{"target_url":"","event_type":"Order Created","is_active":true,"callback":"x y","additional_headers":[],"config":[1],
		"retry_countdown_config":{"choice":"custom","kwargs":{"factor":5}},"notification_type":"email"}`)
	_, _, err := r.Hook("acme", webhook.FormatWhisperer)
	require.ErrorIs(t, err, webhook.ErrInvalid)
	for _, pointer := range []string{
		"/target_url", "/event_types", "/callback", "/additional_headers", "/config", "/retry_countdown_config/choice", "/notification_type",
	} {
		require.ErrorContains(t, err, pointer)
	}
}

func FuzzRead(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("..", "cli", "testdata", "import-django.txtar"))
	require.NoError(f, err)
	f.Add(string(text))
	f.Add("[" + one + "]")
	f.Add("COPY whisperer_webhook (id, config) FROM stdin;\n1\t{\\\\}\\\n\\.\n")
	f.Fuzz(func(_ *testing.T, dump string) {
		rows, err := django.Read(strings.NewReader(dump))
		if err != nil {
			return
		}
		for i := range rows {
			_, _, _ = rows[i].Hook("acme", webhook.FormatOMS)
		}
	})
}
