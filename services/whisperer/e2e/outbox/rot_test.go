package outbox_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// keepSent is the statement from docs/publishing.md that keeps published events.
const keepSent = `
CREATE TABLE whisperer_outbox_sent (LIKE whisperer_outbox);
CREATE FUNCTION whisperer_outbox_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO whisperer_outbox_sent VALUES (OLD.*); RETURN OLD; END $$;
CREATE TRIGGER keep AFTER DELETE ON whisperer_outbox FOR EACH ROW EXECUTE FUNCTION whisperer_outbox_keep();`

// sendAgain republishes the events of the last hours.
const sendAgain = `
INSERT INTO whisperer_outbox (id, tenant, type, body, headers)
SELECT id, tenant, type, body, headers FROM whisperer_outbox_sent WHERE created_at > now() - interval '20 hours' ORDER BY position`

func TestWhatRotsInTheEventLogIsMadeUpForFromWhatWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.db.ExecContext(t.Context(), keepSent)
	require.NoError(t, err)
	relay := w.relay()
	all := numbers(1, 2000)
	w.write(all...)
	w.drained()
	relay.stop()
	require.Equal(t, len(all), w.count("whisperer_outbox_sent"))

	w.stop()
	block := filepath.Join(w.dir, "jetstream", "$G", "streams", "OMS", "msgs", "1.blk")
	content, err := os.ReadFile(block)
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(block, content, 0o600))
	w.startNATS()
	w.relay()
	require.Less(t, len(w.found()), len(all), "nobody says that something is gone, but it is")

	_, err = w.db.ExecContext(t.Context(), sendAgain)
	require.NoError(t, err)
	w.drained()
	require.Len(t, w.found(), len(all), "each id is in the log again")
}

// found returns the bodies of the events that can be read, which contain their ids.
func (w *world) found() map[string]bool {
	w.t.Helper()
	last, err := w.bus.Lag(w.t.Context(), bus.Fanout)
	require.NoError(w.t, err)
	bodies := map[string]bool{}
	for before := range last.Last {
		if m, err := w.bus.Event(w.t.Context(), webhook.SequenceIn(webhook.OMS, before+1)); err == nil {
			bodies[string(m.Body)] = true
		}
	}
	return bodies
}
