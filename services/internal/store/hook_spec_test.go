package store_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// oldColumns are the columns that programs before the document read and write.
type oldColumns struct {
	NotificationType string  `db:"notification_type"`
	Callback         *string `db:"callback"`
	Retry            *string `db:"retry"`
	Config           string  `db:"config"`
}

func TestOlderProgramsAndTheDocumentAgree(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	const config = `{"b": 1.10,  "a":"<é>&","format":"raw"}`
	parsed, err := webhook.ParseConfig(json.RawMessage(config))
	require.NoError(t, err)
	h, err := db.Hooks.Create(t.Context(), actor, webhook.Hook{
		Tenant: "default", Name: "a", EventTypes: []string{"order.created"}, TargetURL: "https://erp.example/spec",
		NotificationType: webhook.NotificationREST, Config: parsed, Status: webhook.Active,
		Callback: &webhook.Callback{URL: "https://oms.example/cb"}, RetryConfig: json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":60}}`),
	}, quota, store.IdempotencyKey{})
	require.NoError(t, err)
	require.Equal(t, config, string(h.Config.Raw), "as it was written") //nolint:testifylint // to the byte
	old := func() (c oldColumns) {
		require.NoError(t, plain.Get(&c, `SELECT notification_type, callback, retry, config FROM hooks WHERE id = $1`, h.ID))
		return c
	}
	got := old()
	require.Equal(t, "rest", got.NotificationType)
	require.JSONEq(t, `{"url":"https://oms.example/cb"}`, *got.Callback)
	require.JSONEq(t, `{"choice":"fixed","kwargs":{"seconds":60}}`, *got.Retry)
	require.Equal(t, config, got.Config) //nolint:testifylint // to the byte

	// Fields that a newer program has stored survive when an older one writes the fields that it knows.
	run(t, plain, `UPDATE hooks SET spec = (left(spec::text, -1) || ',"next":{"a":"x"}}')::json WHERE id = $1`, h.ID)
	run(t, plain, `UPDATE hooks SET callback = NULL, retry = NULL, config = '{"own": 2.50}', modified_at = now() WHERE id = $1`, h.ID)
	var spec string
	require.NoError(t, plain.Get(&spec, `SELECT spec FROM hooks WHERE id = $1`, h.ID))
	require.Equal(t, `{"notification_type":"rest","config":{"own": 2.50},"next":{"a":"x"}}`, spec) //nolint:testifylint // to the byte
	read, err := db.Hooks.Get(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Nil(t, read.Callback)
	require.Empty(t, read.RetryConfig)
	require.Equal(t, `{"own": 2.50}`, string(read.Config.Raw))

	// Then a change of neither field, and one by the newer program.
	run(t, plain, `UPDATE hooks SET name = 'b' WHERE id = $1`, h.ID)
	_, err = db.Hooks.Update(t.Context(), actor, "default", h.ID, nil, func(h *webhook.Hook) error {
		h.Callback = &webhook.Callback{Subject: "whisperer.callback.default.x"}
		return nil
	})
	require.NoError(t, err)
	got = old()
	require.JSONEq(t, `{"subject":"whisperer.callback.default.x"}`, *got.Callback)
	require.Nil(t, got.Retry)
	require.Equal(t, `{"own": 2.50}`, got.Config)
	require.NoError(t, plain.Get(&spec, `SELECT spec -> 'next' FROM hooks WHERE id = $1`, h.ID))
	require.Equal(t, `{"a":"x"}`, spec) //nolint:testifylint // to the byte
}
