package reconcile_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/reconcile"
)

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func idOf(n int) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func TestEachDifferenceIsFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	a, b := digest("a"), digest("b")
	c, err := reconcile.New()
	require.NoError(t, err)
	defer c.Close()
	for n, test := range []struct {
		line     api.ManifestLine
		received []string
	}{
		0:  {api.ManifestLine{State: webhook.Delivered, Digest: &a}, []string{a}},
		1:  {api.ManifestLine{State: webhook.Delivered, Digest: &a}, []string{strings.ToUpper(a)}},
		2:  {api.ManifestLine{State: webhook.Delivered, Digest: &a}, nil},
		3:  {api.ManifestLine{State: webhook.Dead, Digest: &a}, nil},
		4:  {api.ManifestLine{State: webhook.Waiting, Digest: &a}, nil},
		5:  {api.ManifestLine{State: webhook.Parked}, nil},
		6:  {api.ManifestLine{State: webhook.Superseded}, nil},
		7:  {api.ManifestLine{State: webhook.Delivered, Digest: &a}, []string{b}},
		8:  {api.ManifestLine{State: webhook.Delivered, Digest: &a, OtherDigests: []string{b}}, []string{b}},
		9:  {api.ManifestLine{State: webhook.Delivered, Digest: &a, UnknownBodies: 1}, []string{b}},
		10: {api.ManifestLine{State: webhook.Delivered, UnknownBodies: 1}, []string{b}},
		11: {api.ManifestLine{State: webhook.Delivered, Digest: &a}, []string{""}},
		12: {api.ManifestLine{State: webhook.Delivered, Digest: &a}, []string{a, a}},
		13: {api.ManifestLine{State: webhook.Dead, Digest: &a}, []string{a, b}},
	} {
		test.line.WebhookID = idOf(n)
		require.NoError(t, c.Sent(&test.line))
		for _, received := range test.received {
			require.NoError(t, c.Received(test.line.WebhookID.String(), received))
		}
	}
	require.NoError(t, c.Received(uuid.NewString(), a))
	require.NoError(t, c.Received("evt_of_another_sender", a))
	found := map[uuid.UUID][]reconcile.Difference{}
	counts, err := c.Compare(func(f *reconcile.Finding) error {
		found[f.WebhookID] = append(found[f.WebhookID], f.Difference)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID][]reconcile.Difference{
		idOf(2): {reconcile.Lacking}, idOf(3): {reconcile.Lacking}, idOf(7): {reconcile.OtherBytes}, idOf(12): {reconcile.Twice},
		idOf(13): {reconcile.Twice, reconcile.OtherBytes},
	}, found)
	require.Equal(t, reconcile.Counts{
		Sent: 14, Received: 13, Same: 7, Lacking: 2, OtherBytes: 2, Twice: 2, Underway: 2, NotSent: 1, Unknown: 3, Foreign: 2,
	}, counts)
}

func TestInboxesAreReadOrRefusedWithTheLine(t *testing.T) {
	t.Parallel()
	id, a := idOf(1).String(), digest(`{"a":1}`)
	for name, test := range map[string]struct {
		text string
		want []string
		err  string
	}{
		"nothing":            {"", nil, ""},
		"JSON with a digest": {`{"webhook-id":"` + id + `","digest":"` + a + `"}`, []string{id + " " + a}, ""},
		"JSON with a body":   {"\n" + `{"webhook_id":"` + id + `","body":"{\"a\":1}","more":[1]}` + "\n\n", []string{id + " " + a}, ""},
		"what listen prints": {`{"at":"x","delivery_id":"` + id + `","body":"{\"a\":1}","headers":{}}`, []string{id + " " + a}, ""},
		"ids alone":          {`{"webhook-id":"x","digest":null}`, []string{"x "}, ""},
		"CSV":                {"\ufeffat,Webhook-ID,body\n1," + id + `,"{""a"":1}"` + "\n", []string{id + " " + a}, ""},
		"CSV with a digest":  {"webhook_id,digest\n" + id + "," + a + "\n" + id + ",\n", []string{id + " " + a, id + " "}, ""},
		"JSON with a mark":   {"\ufeff" + `{"webhook-id":"` + id + `","body":"{\"a\":1}"}`, []string{id + " " + a}, ""},
		"JSON of Windows":    {`{"webhook-id":"x"}` + "\r\n\r\n" + `{"webhook-id":"y"}` + "\r\n", []string{"x ", "y "}, ""},
		"CSV of Windows":     {"\ufeffwebhook-id,digest\r\n" + id + "," + a + "\r\n", []string{id + " " + a}, ""},
		"CSV with line ends": {
			"webhook-id,body\r\n" + id + ",\"{\r\n\"\"a\"\": \"\"\r\"\"}\n\"\r\n" + id + ",\"\r\n\"\n",
			[]string{id + " " + digest("{\r\n\"a\": \"\r\"}\n"), id + " " + digest("\r\n")},
			"",
		},
		"a mark alone":             {"\ufeff", nil, ""},
		"no id":                    {`{"id":"x"}`, nil, "line 1 of the inbox has no webhook-id"},
		"no JSON":                  {`{"webhook-id":"x"}` + "\n{", nil, "line 2 of the inbox is no JSON object"},
		"a body that is no text":   {`{"webhook-id":"x","body":{"a":1}}`, nil, "line 1 of the inbox: body must be a string"},
		"a digest of another sort": {`{"webhook-id":"x","digest":"abc"}`, nil, "line 1 of the inbox: digest must be a SHA-256"},
		"CSV without an id":        {"id,body\nx,y\n", nil, "neither JSON on lines nor comma-separated values with a column"},
		"a JSON array":             {`[{"webhook-id":"x"}]`, nil, "neither JSON on lines nor comma-separated values with a column"},
		"UTF-16":                   {"\xff\xfe{\x00\"\x00", nil, "neither JSON on lines nor comma-separated values with a column"},
		"CSV with an empty id":     {"webhook-id,body\n,y\n", nil, "line 2 of the inbox has no webhook-id"},
		"CSV with a short row":     {"webhook-id,body\nx\n", nil, "wrong number of fields"},
	} {
		var got []string
		err := reconcile.ReadInbox(strings.NewReader(test.text), func(id, digest string) error {
			got = append(got, id+" "+digest)
			return nil
		})
		if test.err != "" {
			require.ErrorContains(t, err, test.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, test.want, got, name)
	}
}

func TestBothSidesMayBeLongerThanMemory(t *testing.T) { //nolint:paralleltest // measures the heap
	const deliveries, most = 300_000, 24 << 20
	var memory runtime.MemStats
	live := func() uint64 {
		runtime.GC()
		runtime.ReadMemStats(&memory)
		return memory.HeapAlloc
	}
	before := live()
	c, err := reconcile.New()
	require.NoError(t, err)
	defer c.Close()
	a := digest("a")
	for n := range deliveries {
		line := api.ManifestLine{WebhookID: idOf(n), Sequence: 1, EventID: "e", EventType: "order.created", State: webhook.Delivered, Digest: &a}
		require.NoError(t, c.Sent(&line))
		if n%1000 != 0 {
			require.NoError(t, c.Received(line.WebhookID.String(), a))
		}
	}
	require.Less(t, live(), before+most)
	lacking := 0
	counts, err := c.Compare(func(*reconcile.Finding) error {
		if lacking++; lacking%100 == 0 {
			require.Less(t, live(), before+most)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, deliveries/1000, counts.Lacking)
	require.Equal(t, deliveries-lacking, counts.Same)
}
