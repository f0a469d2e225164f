package bus_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestARelayThatHearsNothingSaysThatItIsNotAllowedTo(t *testing.T) {
	t.Parallel()
	url := testenv.NATSWith(t, `authorization { users: [
		{user: all, password: x},
		{user: silent, password: x, permissions: {publish: {deny: "relay.>"}}},
		{user: deaf, password: x, permissions: {subscribe: {deny: "relay.>"}}},
	] }`)
	for user, want := range map[string]error{"all": nil, "silent": bus.ErrRelayDenied, "deaf": bus.ErrRelayDenied} {
		b := connect(t, strings.Replace(url, "://", "://"+user+":x@", 1))
		copies, err := b.Relay().Copies(t.Context(), uuid.New())
		require.ErrorIs(t, err, want, user)
		if want == nil {
			copies.Close()
		}
	}
}
