package seal_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

func ring(t *testing.T, keys ...string) *seal.Ring {
	t.Helper()
	r, err := seal.ParseRing(strings.Join(keys, ","))
	require.NoError(t, err)
	return r
}

func TestWhatIsSealedCanBeOpenedByItsOwner(t *testing.T) {
	t.Parallel()
	r := ring(t, seal.NewKey())
	rapid.Check(t, func(t *rapid.T) {
		plain, owner := rapid.SliceOf(rapid.Byte()).Draw(t, "plain"), rapid.String().Draw(t, "owner")
		sealed := r.Seal(plain, owner)
		require.Equal(t, r.CurrentKeyID(), sealed.KeyID)
		got, err := r.Open(sealed, owner)
		require.NoError(t, err)
		require.Equal(t, string(plain), string(got))
		_, err = r.Open(sealed, owner+"x")
		require.Error(t, err, "a copy in another's row")
	})
}

func TestTheSameSecretLooksDifferentEachTime(t *testing.T) {
	t.Parallel()
	r := ring(t, seal.NewKey())
	first, second := r.Seal([]byte("a secret"), "o"), r.Seal([]byte("a secret"), "o")
	require.NotEqual(t, first.Box, second.Box)
	require.NotContains(t, string(first.Box), "secret")
}

func TestWhatWasChangedCannotBeOpened(t *testing.T) {
	t.Parallel()
	r := ring(t, seal.NewKey())
	sealed := r.Seal([]byte("a secret"), "o")
	for i := range sealed.Box {
		changed := seal.Sealed{KeyID: sealed.KeyID, Box: append([]byte(nil), sealed.Box...)}
		changed.Box[i] ^= 1
		_, err := r.Open(changed, "o")
		require.Error(t, err, "byte %d", i)
	}
	for n := range sealed.Box {
		_, err := r.Open(seal.Sealed{KeyID: sealed.KeyID, Box: sealed.Box[:n]}, "o")
		require.Error(t, err, "cut at %d", n)
	}
}

func TestTheFirstKeySealsAndAllOpen(t *testing.T) {
	t.Parallel()
	old, current := seal.NewKey(), seal.NewKey()
	before := ring(t, old).Seal([]byte("a secret"), "o")
	rotated := ring(t, current, " "+old+" ")

	got, err := rotated.Open(before, "o")
	require.NoError(t, err)
	require.Equal(t, "a secret", string(got))

	after := rotated.Seal([]byte("a secret"), "o")
	require.NotEqual(t, before.KeyID, after.KeyID)
	require.Equal(t, ring(t, current).CurrentKeyID(), after.KeyID)

	_, err = ring(t, old).Open(after, "o")
	require.ErrorIs(t, err, seal.ErrUnknownKey)
	require.ErrorContains(t, err, after.KeyID)
}

func TestMasterKeysThatAreNoneAreRefusedWithoutBeingRepeated(t *testing.T) {
	t.Parallel()
	canary := base64.StdEncoding.EncodeToString([]byte("canary"))
	for name, keys := range map[string]string{
		"nothing":               "",
		"a short key":           canary,
		"a long key":            base64.StdEncoding.EncodeToString([]byte(strings.Repeat("canary", 6))),
		"no base64":             "canary!",
		"a good and a bad one":  seal.NewKey() + "," + canary,
		"a comma at the end":    seal.NewKey() + ",",
		"base64 without its ==": strings.TrimRight(seal.NewKey(), "="),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := seal.ParseRing(keys)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "canary")
			require.NotContains(t, err.Error(), canary)
		})
	}
}

func TestNewKeysDiffer(t *testing.T) {
	t.Parallel()
	first, second := seal.NewKey(), seal.NewKey()
	require.NotEqual(t, first, second)
}
