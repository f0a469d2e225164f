package store_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestASearchSeesOfATargetURLWhatItsReaderSees(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	for i, target := range []string{
		"https://example.com/in?api_key=canary&shop=berlin", "https://example.com/in?a=1;%6Bey=canary", "https://user:canary@example.com/",
	} {
		h := simpleHook(i)
		h.TargetURL = target
		_, err := db.Hooks.Create(t.Context(), actor, h, quota, store.IdempotencyKey{})
		require.NoError(t, err)
	}
	mask := webhook.ParseMask("key")
	found := func(f store.HookFilter) int {
		n, err := db.Hooks.Count(t.Context(), webhook.DefaultTenant, f)
		require.NoError(t, err)
		list, _, err := db.Hooks.List(t.Context(), webhook.DefaultTenant, f, store.Page{Limit: 10})
		require.NoError(t, err)
		sorted, _, err := db.Hooks.ListSorted(t.Context(), webhook.DefaultTenant, f, store.HooksByName, store.HookPage{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list, n)
		require.Len(t, sorted, n)
		return n
	}
	for _, part := range []string{"canary", "key=c", "CANARY", "an", "user", "ry@"} {
		require.Zero(t, found(store.HookFilter{Mask: mask, Search: part}), part)
		require.NotZero(t, found(store.HookFilter{Search: part}), part)
	}
	require.Equal(t, 1, found(store.HookFilter{Mask: mask, Search: "shop=BERLIN"}))
	require.Equal(t, 3, found(store.HookFilter{Mask: mask, Search: "***"}))
	const target = "https://example.com/in?api_key=canary&shop=berlin"
	for _, guess := range []string{target, mask.URL(target), strings.Replace(target, "canary", "wrong", 1)} {
		require.Equal(t, 1, found(store.HookFilter{Mask: mask, TargetURL: guess}), "right and wrong guesses find the same")
	}
	require.Equal(t, 1, found(store.HookFilter{TargetURL: target}))
}

// TestPostgreSQLMasksAsGoDoes compares both on random URLs made of the characters that are special to either.
func TestPostgreSQLMasksAsGoDoes(t *testing.T) {
	t.Parallel()
	_, plain := open(t)
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"?", "&", ";", "#", "=", "@", ":", "/", "key", "KeY", "%6b", "%4B", "ey", "a.b", "axb", "+", "%20", "c d", "*", "\\1", "$1", "ü", "%C3%9C", "x", "é"}
	masks := []webhook.Mask{webhook.ParseMask("key"), webhook.ParseMask("a.b,c d,ü,*"), webhook.ParseMask(`(,[,\,^$|`)}
	for i := range 2000 {
		target := "https://"
		for range random.IntN(16) {
			target += parts[random.IntN(len(parts))]
		}
		mask := masks[i%len(masks)]
		var got string
		require.NoError(t, plain.Get(&got, `SELECT regexp_replace(regexp_replace($1, $2, '\1***@', 'i'), $3, '\1***', 'gi')`,
			target, webhook.MaskedUserinfo, mask.Pattern()))
		require.Equal(t, mask.URL(target), got, "%s by %s", target, mask.Pattern())
	}
}
