package catalogue_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	var known []string
	for _, k := range catalogue.All() {
		known = append(known, k.Name)
	}
	for sentence, c := range map[string]struct{ name, want string }{
		"a known name is nearest to itself": {"order.created", "order.created"},
		"a wrong letter":                    {"order.craeted", "order.created"},
		"a plural":                          {"orders.created", "order.created"},
		"American spelling":                 {"order.canceled", "order.cancelled"},
		"capital letters":                   {"Package.Status.Packed", "package.status.packed"},
		"a left-out token in the middle":    {"package.packed", "package.status.packed"},
		"a token too many":                  {"shipment.status.cancelled", "shipment.cancelled"},
		"a missing dot":                     {"stocklocation.created", "stock_location.created"},
		"another small word inside a token": {"transfer.status.ready_for_shipment", "transfer.status.ready_to_shipment"},
		"the last token alone":              {"awb_number", "package.shipment.awb_number"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, catalogue.Nearest(c.name, known, 3)[0])
		})
	}
}

func TestNearestReturnsAtMostWhatIsAskedForAndKnown(t *testing.T) {
	t.Parallel()
	known := []string{"order.b", "order.c", "order.a"}
	require.Equal(t, []string{"order.a", "order.b"}, catalogue.Nearest("order.x", known, 2))
	require.Equal(t, []string{"order.a", "order.b", "order.c"}, catalogue.Nearest("order.x", known, 9))
	require.Empty(t, catalogue.Nearest("order.x", known, 0))
	require.Empty(t, catalogue.Nearest("order.x", known, -1))
	require.Empty(t, catalogue.Nearest("order.x", nil, 3))
	require.Equal(t, []string{"order.b", "order.c", "order.a"}, known, "the caller's slice keeps its order")
}

func TestNearestCopesWithAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", ".", "\x00\xff", strings.Repeat(".", 1<<20), strings.Repeat("x", 1<<20)} {
		require.Len(t, catalogue.Nearest(name, []string{"order.created", "order.updated"}, 2), 2)
	}
}
