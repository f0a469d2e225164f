package webhook_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestHeadersThatAreMadeFollowTheRulesOfThoseThatAreFixed(t *testing.T) {
	t.Parallel()
	for config, pointer := range map[string]string{
		`{"headers_from":{"Host":"event.type"}}`:                   "/config/headers_from/Host",
		`{"headers_from":{"Webhook-Id":"event.type"}}`:             "/config/headers_from/Webhook-Id",
		`{"headers_from":{"X-A":""}}`:                              "/config/headers_from/X-A",
		`{"headers_from":{"X-A":7}}`:                               "/config/headers_from",
		`{"headers_from":["X-A"]}`:                                 "/config/headers_from",
		`{"headers_from":{"X-A":"event.type","x-a":"event.type"}}`: "/config/headers_from/x-a",
		`{"headers_from":{"x-fixed":"event.type"}}`:                "/config/headers_from/x-fixed",
		`{"headers_from":{"X-API-Key":"event.type"}}`:              "/config/headers_from/X-API-Key",
		`{"headers_from":{"Authorization":"event.type"},"auth":{"auth_type":"basic","username":"a","password":"b"}}`: "/config/headers_from/Authorization",
		`{"transform":"event.data","content_fields":["/a"]}`:                                                         "/config/content_fields",
	} {
		h := webhook.Hook{
			ID: uuid.New(), Tenant: webhook.DefaultTenant, EventTypes: []string{"order.created"}, TargetURL: "https://example.com/", NotificationType: webhook.NotificationREST,
			Status: webhook.Active, Headers: map[string]string{"X-Fixed": "1"}, APIKey: "key",
		}
		var err error
		if h.Config, err = webhook.ParseConfig(json.RawMessage(config)); err == nil {
			err = h.Validate()
		} else {
			invalid := &webhook.ValidationError{}
			invalid.Collect("/config", err)
			err = invalid
		}
		var invalid *webhook.ValidationError
		require.ErrorAs(t, err, &invalid, config)
		require.Len(t, invalid.Fields, 1, config)
		require.Equal(t, pointer, invalid.Fields[0].Pointer)
	}
}
