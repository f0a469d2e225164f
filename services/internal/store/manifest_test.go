package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// bodied adds the digest of a body to the attempt.
func bodied(body string) func(f *whispererv1.DeliveryFact) {
	return func(f *whispererv1.DeliveryFact) {
		digest := sha256.Sum256([]byte(body))
		f.Attempt.BodyDigest, f.Attempt.RequestSize = digest[:], uint32(len(body))
	}
}

func hexDigest(body string) string {
	digest := sha256.Sum256([]byte(body))
	return hex.EncodeToString(digest[:])
}

func TestAManifestKnowsWhichBodiesWereSentAndWhichItDoesNotKnow(t *testing.T) {
	t.Parallel()
	sized := func(f *whispererv1.DeliveryFact) { f.Attempt.RequestSize = 9 } // as an older release recorded it, before digests
	for name, test := range map[string]struct {
		facts   func(d delivery) []*whispererv1.DeliveryFact
		digests []string
		unknown int
	}{
		"nothing sent yet": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{d.fact(webhook.Parked, 0, 1)}
		}, nil, 0},
		"sent once": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{d.fact(webhook.Delivered, 1, 1, answered(200), bodied("a"))}
		}, []string{hexDigest("a")}, 0},
		"the same again": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{d.fact(webhook.Waiting, 1, 1, answered(500), bodied("a")), d.fact(webhook.Delivered, 2, 2, answered(200), bodied("a"))}
		}, []string{hexDigest("a")}, 0},
		"edited in between, and what was delivered is first": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{
				d.fact(webhook.Waiting, 1, 1, answered(500), bodied("a")), d.fact(webhook.Delivered, 2, 2, answered(200), bodied("b")),
				d.fact(webhook.Waiting, 3, 3, answered(500), bodied("c"), replay),
			}
		}, []string{hexDigest("b"), hexDigest("c"), hexDigest("a")}, 0},
		"before digests": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{d.fact(webhook.Delivered, 1, 1, answered(200), sized)}
		}, nil, 1},
		"a worker that ended": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{d.fact(webhook.Waiting, 1, 1, unknown), d.fact(webhook.Delivered, 2, 2, answered(200), bodied("a"))}
		}, []string{hexDigest("a")}, 1},
		"an attempt that is not recorded": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{d.fact(webhook.Delivered, 2, 2, answered(200), bodied("a"))}
		}, []string{hexDigest("a")}, 1},
		"one that could not be made": {func(d delivery) []*whispererv1.DeliveryFact {
			return []*whispererv1.DeliveryFact{d.fact(webhook.Dead, 1, 1, answered(0))}
		}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, _ := open(t)
			d := newDelivery()
			write(t, recorder(t, db), batchOf(test.facts(d)...))
			list, err := db.History.ListSent(t.Context(), "default", d.hook, store.TimeRange{From: noon, To: noon.Add(time.Second)}, nil, 10)
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.Equal(t, test.digests, list[0].Digests)
			require.Equal(t, test.unknown, list[0].Unknown)
			require.Equal(t, d.id, list[0].ID)
			require.EqualValues(t, 7, list[0].Seq)
			require.Equal(t, "e-1 order.created", list[0].EventID+" "+list[0].EventType)
		})
	}
}

func TestAManifestIsWalkedPageByPage(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	hook := uuid.New()
	r := recorder(t, db)
	var facts []*whispererv1.DeliveryFact
	var ids []uuid.UUID
	for i := range 7 {
		d := delivery{id: webhook.DeliveryID(hook, fmt.Sprint(i)), hook: hook}
		facts = append(facts, d.fact(webhook.Delivered, 1, 1, answered(200), bodied("a"), func(f *whispererv1.DeliveryFact) {
			f.PublishedAt = noon.Add(time.Duration(i/2) * time.Hour * 8).UnixNano() // over two days, two at the same time
		}))
	}
	other := newDelivery()
	write(t, r, batchOf(append(facts, other.fact(webhook.Delivered, 1, 1, answered(200)))...))
	var behind *store.Position
	for {
		page, err := db.History.ListSent(t.Context(), "default", hook, store.TimeRange{From: noon, To: noon.Add(24 * time.Hour)}, behind, 2)
		require.NoError(t, err)
		for i := range page {
			ids = append(ids, page[i].ID)
			if behind != nil {
				require.False(t, page[i].PublishedAt.Before(behind.At))
			}
			behind = page[i].Position()
		}
		if len(page) < 2 {
			break
		}
	}
	require.Len(t, ids, 6, "the seventh is published at the end of the range, which is not in it")
	list, err := db.History.ListSent(t.Context(), "another", hook, store.TimeRange{From: noon, To: noon.Add(24 * time.Hour)}, nil, 2)
	require.NoError(t, err)
	require.Empty(t, list, "of another tenant")
}
