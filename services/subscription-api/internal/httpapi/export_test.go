package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

func TestFilesHaveAllOfAList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := uuid.MustParse(w.create(t, `{"event_type":"*","target_url":"http://example.com/files?token=hush"}`)["id"].(string))
	const events = 1203 // more than two pages
	facts, all := make([]*whispererv1.DeliveryFact, 0, events), make([]webhook.Event, 0, events)
	for i := range events {
		e := newEvent(fmt.Sprintf("e-%04d", i), uint64(i+1), "order.created", fmt.Sprintf("=order:%d", i), time.Hour+time.Duration(i)*time.Second)
		all = append(all, e)
		facts = append(facts, newFact(hook, &e, webhook.Dead, webhook.ReasonExhausted, http.StatusInternalServerError))
	}
	w.published(t, all...)
	w.recorded(t, facts...)
	api, err := client.New(client.Options{URL: w.url, Token: w.token})
	require.NoError(t, err)
	out := &bytes.Buffer{}
	require.NoError(t, api.Deliveries.Export(t.Context(), client.DeliveryFilter{Hook: hook, State: "dead"}, client.CSV, out))
	rows, err := csv.NewReader(out).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, events+1)
	require.Equal(t, []string{"id", "webhook", "event", "event_type", "entity", "state", "reason", "attempts", "status", "error", "published", "changed"}, rows[0])
	for i, row := range rows[1:] {
		require.Equal(t, []string{fmt.Sprintf("e-%04d", i), fmt.Sprintf("'=order:%d", i), "500"}, []string{row[2], row[4], row[8]}, "newest first, and no formula")
	}
	out.Reset()
	require.NoError(t, api.Deliveries.ExportAttempts(t.Context(), client.DeliveryFilter{}, client.NDJSON, out))
	lines := 0
	for scan := bufio.NewScanner(out); scan.Scan(); lines++ {
		var row struct {
			Event   string
			Attempt int
		}
		require.NoError(t, json.Unmarshal(scan.Bytes(), &row))
		require.Equal(t, fmt.Sprintf("e-%04d", lines), row.Event)
		require.Equal(t, 1, row.Attempt)
	}
	require.Equal(t, events, lines)
	out.Reset()
	require.NoError(t, api.Audit.Export(t.Context(), client.AuditFilter{Kind: "hook"}, client.CSV, out))
	require.Equal(t, "time,actor,actor_name,action,subject,detail\r\n", strings.SplitAfter(out.String(), "\n")[0])

	for path, pointer := range map[string]string{
		"/whisperer/deliveries/export/?format=xml":                    "format",
		"/whisperer/deliveries/attempts/?state=lost":                  "state",
		"/whisperer/deliveries/export/?limit=1":                       "limit",
		"/whisperer/audit/export/?kind=thing":                         "kind",
		"/whisperer/deliveries/export/?data_path=x&from=" + recent(t): "data_path",
	} {
		a := w.call(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusBadRequest, a.status, path)
		require.Equal(t, []string{pointer}, a.pointers(), path)
	}
}

// recent returns a time yesterday.
func recent(t *testing.T) string {
	t.Helper()
	return time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
}
