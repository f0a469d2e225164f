package cli_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/publisher"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

// printed returns what a command prints.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	code := cli.Run(t.Context(), cli.Program{Name: "whisperer", Args: args, Out: &out, Err: &problems})
	require.Zero(t, code, problems.String())
	return out.String()
}

// guarded starts a nats-server with the accounts that the command prints. Each user's password is its name.
func guarded(t *testing.T) string {
	t.Helper()
	config := printed(t, "nats", "permissions", "acme", "beta")
	for _, user := range []string{"whisperer", "operator", "oms-acme", "oms-beta"} {
		config = strings.ReplaceAll(config, "$NATS_PASSWORD_"+strings.ToUpper(strings.ReplaceAll(user, "-", "_")), user)
	}
	return testenv.NATSWith(t, config)
}

func as(user string) bus.Credentials { return bus.Credentials{User: user, Password: user} }

func program(t *testing.T, url string) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Options{URL: url, Name: "program", Credentials: as("whisperer"), OMSMaxBytes: 64 << 20, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	return b
}

func publishAs(t *testing.T, url, tenant, user string) *publisher.Publisher {
	t.Helper()
	p, err := publisher.New(t.Context(), publisher.Options{URL: url, Tenant: tenant, Credentials: as(user), Timeout: 15 * time.Second})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func orders(n int) []publisher.Event {
	list := make([]publisher.Event, n)
	for i := range list {
		list[i] = publisher.Event{Type: "order.created", ID: uuid.NewString(), Data: map[string]int{"id": i}}
	}
	return list
}

// messages counts the messages in each stream.
func messages(t *testing.T, b *bus.Bus) map[string]uint64 {
	t.Helper()
	list, err := b.Streams().States(t.Context())
	require.NoError(t, err)
	counts := map[string]uint64{}
	for _, s := range list {
		counts[s.Name] = s.Messages
	}
	return counts
}

func TestProgramsAndPublishersCanDoTheirWorkWithPrintedPermissions(t *testing.T) {
	t.Parallel()
	url := guarded(t)
	b := program(t, url)
	p := publishAs(t, url, "acme", "oms-acme")
	require.NoError(t, p.Publish(t.Context(), orders(1)[0]))
	require.NoError(t, p.PublishBatch(t.Context(), orders(500)), "as an atomic batch")
	require.NoError(t, p.PublishAsync(orders(1)[0]).Err())
	require.EqualValues(t, 502, messages(t, b)[bus.StreamOMS])

	sub, err := b.Subscribe(t.Context(), bus.Fanout, bus.Room{Messages: 10})
	require.NoError(t, err)
	defer sub.Stop()
	batch, _ := sub.TakeBatch(t.Context(), nil, 1)
	require.Len(t, batch, 1)
	require.NoError(t, b.Aside().Add(t.Context(), "event", &batch[0], "a test"))
	require.NoError(t, batch[0].Ack())
	aside, err := b.Aside().List(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, aside, 1)
	require.NoError(t, b.Aside().Drop(t.Context(), aside[0].Seq))
	hook, delivery := uuid.New(), uuid.New()
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(time.Hour), &whispererv1.Retry{HookId: hook[:], DeliveryId: delivery[:]}))
	require.NoError(t, b.Retries().Purge(t.Context(), hook))
	require.NoError(t, b.PublishFacts(t.Context(), "1", &whispererv1.LedgerBatch{}))
	_, err = b.Streams().Trim(t.Context(), bus.Trim{MaxAge: time.Hour, HighWater: 0.8, LowWater: 0.5})
	require.NoError(t, err)
	repaired, err := b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.Empty(t, repaired)
	_, err = b.Streams().Store(t.Context())
	require.NoError(t, err)

	operator := testenv.NATSAs(t, url, "operator", "operator")
	require.Contains(t, string(operator.Ask("$JS.API.STREAM.NAMES", nil, "")), bus.StreamLedger)
}

func TestAPublisherCanDoNothingButPublishEventsOfItsTenant(t *testing.T) {
	t.Parallel()
	url := guarded(t)
	b := program(t, url)
	hook, delivery := uuid.New(), uuid.New()
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(time.Hour), &whispererv1.Retry{HookId: hook[:], DeliveryId: delivery[:]}))
	require.NoError(t, b.PublishFacts(t.Context(), "1", &whispererv1.LedgerBatch{}))
	require.NoError(t, publishAs(t, url, "beta", "oms-beta").Publish(t.Context(), orders(1)[0]))
	before := messages(t, b)
	u := testenv.NATSAs(t, url, "oms-acme", "oms-acme")

	forbidden := []string{
		"ledger.facts", "retry.due." + hook.String(), "retry.at." + hook.String() + "." + delivery.String(), "oms.beta.order.created", "oms.order",
		"own.acme.delivery.dead", "own.beta.callback.h1", "whisperer.callback.acme.x",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.OMS", "$JS.API.STREAM.PURGE.RETRIES", "$JS.API.STREAM.PURGE.OMS",
		"$JS.API.STREAM.DELETE.LEDGER", "$JS.API.STREAM.UPDATE.OMS", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.MSG.GET.OMS",
		"$JS.API.DIRECT.GET.OMS", "$JS.API.STREAM.MSG.DELETE.OMS", "$JS.API.STREAM.SNAPSHOT.OMS", "$JS.API.CONSUMER.CREATE.OMS.mine",
		"$JS.API.CONSUMER.MSG.NEXT.OMS.fanout", "$JS.API.CONSUMER.DELETE.OMS.fanout", "$JS.ACK.OMS.fanout.1.1.1.1.1", "$SYS.REQ.SERVER.PING",
	}
	for _, subject := range forbidden {
		require.False(t, u.IsAnswered(subject, "{}"), subject)
	}
	// Reply subjects are not checked against permissions, but a reply stays within the account.
	for _, reply := range []string{"ledger.facts", "retry.due." + hook.String(), "oms.beta.order.created", "own.acme.hook.disabled"} {
		u.Send("oms.acme.order.created", reply, `{"data":1}`)
	}
	require.Eventually(t, func() bool { return messages(t, b)[bus.StreamOMS] == before[bus.StreamOMS]+4 }, time.Minute, 20*time.Millisecond)
	for name, value := range map[string]string{
		"Nats-Rollup": "all", "Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-TTL": "1s", "Nats-Schedule-Next": "purge",
	} {
		answer := string(u.Ask("oms.acme.order.created", map[string]string{name: value, "Nats-Scheduler": "retry.at.x"}, `{"data":1}`))
		require.Contains(t, answer, `"error"`, name)
	}
	for _, subject := range []string{">", "oms.>", "oms.beta.>", "ledger.>", "retry.>", "own.>", "*.acme.>", bus.ProgramInbox + ".>", "whisperer.callback.beta.>", "$JS.EVENT.>"} {
		if strings.HasPrefix(subject, "_INBOX.") {
			continue // allowed within its account, where nobody else is
		}
		require.False(t, u.MayListen(subject), subject)
	}
	after := messages(t, b)
	after[bus.StreamOMS] -= 4
	require.Equal(t, before, after)
	p, err := publisher.New(t.Context(), publisher.Options{URL: url, Tenant: "beta", Credentials: as("oms-acme"), Timeout: 5 * time.Second})
	require.NoError(t, err)
	defer p.Close()
	require.ErrorIs(t, p.Publish(t.Context(), orders(1)[0]), broker.ErrDenied, "and it says why")
}

func TestProgramsCannotDestroyStreams(t *testing.T) {
	t.Parallel()
	url := guarded(t)
	b := program(t, url)
	require.NoError(t, b.PublishFacts(t.Context(), "1", &whispererv1.LedgerBatch{}))
	before := messages(t, b)
	u := testenv.NATSAs(t, url, "whisperer", "whisperer", testenv.Inbox(bus.ProgramInbox))
	for _, subject := range []string{
		"$JS.API.STREAM.DELETE.OMS", "$JS.API.STREAM.MSG.DELETE.LEDGER", "$JS.API.STREAM.PURGE.LEDGER", "$JS.API.STREAM.SNAPSHOT.OMS", "$JS.API.STREAM.RESTORE.OMS", "elsewhere",
	} {
		require.False(t, u.IsAnswered(subject, ""), subject)
	}
	require.Contains(t, string(u.Ask("ledger.facts", map[string]string{"Nats-Rollup": "all"}, "")), `"error"`, "no rollup of the ledger")
	for _, subject := range []string{">", "oms.>", "_INBOX.>"} {
		require.False(t, u.MayListen(subject), subject)
	}
	// Even a user with all permissions cannot do it by mistake, except where our own programs need it.
	operator := testenv.NATSAs(t, url, "operator", "operator")
	for subject, body := range map[string]string{
		"$JS.API.STREAM.PURGE.LEDGER": "", "$JS.API.STREAM.MSG.DELETE.LEDGER": `{"seq":1}`,
	} {
		require.Contains(t, string(operator.Ask(subject, nil, body)), `"error"`, subject)
	}
	require.Equal(t, before, messages(t, b))
}

func TestAStrangerIsNotLetIn(t *testing.T) {
	t.Parallel()
	url := guarded(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := bus.Connect(ctx, bus.Options{URL: url, Name: "stranger", Log: zap.NewNop()})
	require.ErrorContains(t, err, "WHISPERER_NATS_CREDS")
}

func TestComposedNATSHasThePrintedAccounts(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile("../../../../scripts/compose/nats-accounts.conf")
	require.NoError(t, err)
	require.Equal(t, printed(t, "nats", "permissions"), string(config), "write it anew: whisperer nats permissions > scripts/compose/nats-accounts.conf")
	require.NotRegexp(t, `password: [^$]`, string(config))
}
