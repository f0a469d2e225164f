package webhook_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestErrorsTellTheirKindAndWhatToMend(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	tests := map[string]struct {
		err  error
		kind error
		text string
	}{
		"a validation error lists all fields": {
			&webhook.ValidationError{Fields: []webhook.FieldError{{Pointer: "/a", Detail: "is bad"}, {Pointer: "/b/0", Detail: "too"}}},
			webhook.ErrInvalid, "invalid: /a: is bad; /b/0: too",
		},
		"a conflict names what is there": {&webhook.ConflictError{ID: id}, webhook.ErrConflict, "conflict with " + id.String()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := fmt.Errorf("create hook: %w", test.err)
			require.ErrorIs(t, err, test.kind)
			require.EqualError(t, err, "create hook: "+test.text)
			for _, other := range []error{webhook.ErrNotFound, webhook.ErrConflict, webhook.ErrInvalid, webhook.ErrVersion} {
				require.Equal(t, errors.Is(test.kind, other), errors.Is(err, other))
			}
		})
	}
}
