package store_test

import (
	"crypto/sha256"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestAReceiversInboxIsReadWhateverItsColumnsAre(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	plain := testenv.Plain(t, url)
	id, body := uuid.New(), `{"ü": 1.50}`
	sum := sha256.Sum256([]byte(body))
	_, err := plain.ExecContext(t.Context(), `
		CREATE SCHEMA "my shop";
		CREATE TABLE "my shop".inbox ("Id" text, as_uuid uuid, hash bytea, hexes text, body text, raw bytea, doc jsonb);`)
	require.NoError(t, err)
	_, err = plain.ExecContext(t.Context(), `INSERT INTO "my shop".inbox VALUES ($1::text, $1::text::uuid, $2::bytea, encode($2::bytea, 'hex'), $3::text, convert_to($3::text, 'UTF8'), $3::text::jsonb)`,
		id.String(), sum[:], body)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		inbox store.Inbox
		known bool
	}{
		"ids":            {store.Inbox{ID: "Id"}, false},
		"bytea digest":   {store.Inbox{ID: "as_uuid", Digest: "hash"}, true},
		"text digest":    {store.Inbox{ID: "Id", Digest: "hexes"}, true},
		"text body":      {store.Inbox{ID: "Id", Body: "body"}, true},
		"bytea body":     {store.Inbox{ID: "Id", Body: "raw"}, true},
		"what came once": {store.Inbox{ID: "Id", Body: "doc"}, false},
	} {
		test.inbox.Table = "my shop.inbox"
		n := 0
		require.NoError(t, store.ReadInbox(t.Context(), url, test.inbox, func(gotID, digest string) error {
			n++
			require.Equal(t, id.String(), gotID, name)
			if test.known {
				require.Equal(t, hexDigest(body), digest, name)
			} else {
				require.Empty(t, digest, name)
			}
			return nil
		}), name)
		require.Equal(t, 1, n, name)
	}
	for _, inbox := range []store.Inbox{{Table: "gone", ID: "id"}, {Table: `my shop.inbox"; DROP SCHEMA "my shop`, ID: "Id"}, {Table: "my shop.inbox", ID: "id"}} {
		require.Error(t, store.ReadInbox(t.Context(), url, inbox, func(string, string) error { return nil }))
	}
}
