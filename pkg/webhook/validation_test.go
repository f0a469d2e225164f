package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// pointers returns the pointers of a validation error, or none for no error.
func pointers(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var v *webhook.ValidationError
	require.ErrorAs(t, err, &v)
	require.ErrorIs(t, err, webhook.ErrInvalid)
	require.NotEmpty(t, v.Fields)
	list := make([]string, len(v.Fields))
	for i, f := range v.Fields {
		require.NotEmpty(t, f.Detail, "at %s", f.Pointer)
		require.True(t, f.Pointer == "" || f.Pointer[0] == '/', "pointer %q", f.Pointer)
		list[i] = f.Pointer
	}
	return list
}
