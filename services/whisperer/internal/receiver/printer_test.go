package receiver_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

func line() receiver.Line {
	return receiver.Line{
		At: time.Date(2026, 3, 12, 10, 31, 5, 7e6, time.Local), EventType: "package.status.packed", Entity: "package:61",
		Hook: "everything", Attempt: 1, Status: 200, After: 14 * time.Millisecond, Verdict: receiver.Verified,
	}
}

func TestPrinterAlignsLinesUnderTheirHeads(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}
	p := receiver.NewPrinter(out, false)
	p.Head()
	p.Line(line())
	failed := line()
	failed.EventType, failed.Entity, failed.Attempt, failed.Status = "order.created", "", 3, 503
	failed.After, failed.Verdict, failed.Replay = 6100*time.Millisecond, receiver.Wrong, true
	p.Line(failed)
	long := line()
	long.Hook = "a hook with a name that is far too long"
	p.Line(long)
	require.Equal(t, `TIME          EVENT TYPE                         ENTITY               HOOK              TRY  STATUS     AFTER  SIGNATURE
10:31:05.007  package.status.packed              package:61           everything        #1   200        14 ms  ✓ verified
10:31:05.007  order.created                      -                    everything        #3r  503        6.1 s  ✗ wrong
10:31:05.007  package.status.packed              package:61           a hook with a n…  #1   200        14 ms  ✓ verified
`, out.String())
}

func TestPrinterColorsOnlyWhenTold(t *testing.T) {
	t.Parallel()
	plain, colored := &bytes.Buffer{}, &bytes.Buffer{}
	receiver.NewPrinter(plain, false).Line(line())
	receiver.NewPrinter(colored, true).Line(line())
	require.NotContains(t, plain.String(), "\x1b")
	require.Contains(t, colored.String(), "\x1b[32m✓ verified\x1b[0m")
}

func TestPrinterShowsHeadersAndBodyWithoutObeyingThem(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}
	receiver.NewPrinter(out, false).Received(line(), &receiver.Received{
		Header: http.Header{"Webhook-Id": {"d-1"}, "X-Bad": {"\x1b[2J"}}, Body: []byte(`{"data":{"id":61}}`),
	})
	require.Contains(t, out.String(), `
    webhook-id: d-1
    x-bad: ?[2J

    {
      "data": {
        "id": 61
      }
    }
`)
}

func TestShortDurations(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"950 µs": 950 * time.Microsecond, "12 ms": 12 * time.Millisecond, "4.2 s": 4200 * time.Millisecond,
		"3 m 5 s": 185 * time.Second, "2 h 7 m": 127 * time.Minute,
	} {
		require.Equal(t, want, receiver.Short(d))
	}
}

func TestPrinterFitsIntoANarrowTerminal(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}
	p := receiver.NewPrinter(out, false).Fit(80)
	p.Head()
	long := line()
	long.EventType, long.Hook, long.Status, long.Fault = "transfer.status.ready_to_shipment", "a hook with a long name", 0, "connection_refused"
	long.Verdict, long.Why = receiver.Wrong, "the key set has no such key"
	p.Line(long)
	require.Equal(t, `TIME      EVENT TYPE                   HOOK            TRY  STATUS  SIGNATURE
10:31:05  transfer.status.ready_to_s…  a hook with a…  #1   conne…  ✗ wrong
    the key set has no such key
`, out.String())
}
