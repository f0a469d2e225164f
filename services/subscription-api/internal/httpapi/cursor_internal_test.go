package httpapi

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// FuzzCursor checks that no forged cursor is accepted.
func FuzzCursor(f *testing.F) {
	c := cursors{key: []byte("a key of thirty-two bytes, or so")}
	f.Add("", "", "1")
	f.Add(c.seal(cursorOlder, store.Position{}, "hooks"), "hooks", "250")
	f.Add(c.seal(cursorNewer, store.SeqPosition(store.Position{}.At, 1<<63), "hooks"), "events", "-1")
	f.Fuzz(func(t *testing.T, cursor, scope, limit string) {
		page, err := c.page(url.Values{"cursor": {cursor}, "limit": {limit}}, scope)
		if err != nil {
			return
		}
		require.True(t, page.Limit >= 1 && page.Limit <= maxLimit)
		at, direction := page.Older, byte(cursorOlder)
		if at == nil {
			at, direction = page.Newer, cursorNewer
		}
		require.NotNil(t, at)
		again, position, ok := c.open(c.seal(direction, *at, scope), scope)
		require.True(t, ok && again == direction && position.ID == at.ID && position.At.Equal(at.At))
		require.Equal(t, strings.NewReplacer("\r", "", "\n", "").Replace(cursor), c.seal(direction, *at, scope), "nobody else can make one")
	})
}
