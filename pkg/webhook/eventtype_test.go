package webhook_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestEventTypesAreWordsJoinedByDots(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in           string
		typ, pattern bool
	}{
		"one word":                       {"order", true, true},
		"three words":                    {"package.status.packed", true, true},
		"digits and underscores":         {"order_2.v_1", true, true},
		"the longest there is":           {strings.Repeat("a", 128), true, true},
		"too long by one":                {strings.Repeat("a", 129), false, false},
		"ten kilobytes":                  {strings.Repeat("a.", 5000) + "a", false, false},
		"empty":                          {"", false, false},
		"a dot alone":                    {".", false, false},
		"an empty word at the end":       {"order.", false, false},
		"an empty word in the middle":    {"order..created", false, false},
		"upper case":                     {"Order.created", false, false},
		"a dash":                         {"order-created", false, false},
		"a space":                        {"order created", false, false},
		"a zero-width space":             {"order\u200b.created", false, false},
		"letters that look alike":        {"оrder.created", false, false},
		"a line break":                   {"order.created\n", false, false},
		"a regular expression":           {"^(a+)+$", false, false},
		"a star alone":                   {"*", false, true},
		"a rest alone":                   {">", false, true},
		"a star in the middle":           {"package.*.packed", false, true},
		"stars and a rest":               {"*.*.>", false, true},
		"a rest before the end":          {"package.>.packed", false, false},
		"a star that is part of a word":  {"pack*.created", false, false},
		"a rest that is part of a word":  {"package.st>", false, false},
		"two stars in one word":          {"**", false, false},
		"NATS' own subjects are no type": {"$JS.API.>", false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.typ, webhook.ValidateEventType(test.in) == nil)
			require.Equal(t, test.pattern, webhook.ValidatePattern(test.in) == nil)
			if test.typ {
				require.False(t, webhook.IsPattern(test.in))
			}
		})
	}
}

func TestPatternsMatchAsInNATS(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pattern, typ string
		want         bool
	}{
		"a type matches itself":                {"order.created", "order.created", true},
		"a type does not match another":        {"order.created", "order.updated", false},
		"a type does not match its beginning":  {"order.created", "order", false},
		"a type does not match what it begins": {"order", "order.created", false},
		"a star is one word":                   {"*.created", "order.created", true},
		"a star is not two words":              {"*.created", "order.status.created", false},
		"a star at the end is not nothing":     {"order.*", "order", false},
		"a rest is one word":                   {"order.>", "order.created", true},
		"a rest is many words":                 {"order.>", "order.status.updated", true},
		"a rest is not nothing":                {"order.>", "order", false},
		"a rest after a star":                  {"*.>", "order.status.updated", true},
		"a star alone is everything":           {"*", "order.status.updated", true},
		"a rest alone is everything":           {">", "order.status.updated", true},
		"two stars are two words":              {"*.*", "order.status.updated", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, webhook.MatchPattern(test.pattern, test.typ))
		})
	}
}

func word() *rapid.Generator[string] { return rapid.SampledFrom([]string{"a", "b", "ab", "_"}) }

func dotted(word *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(word, 1, 4).Draw(t, "words"), ".")
	})
}

func patterns() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		pattern := dotted(rapid.OneOf(word(), rapid.Just("*"))).Draw(t, "pattern")
		switch rapid.IntRange(0, 3).Draw(t, "end") {
		case 0:
			return pattern + ".>"
		case 1:
			return rapid.SampledFrom([]string{"*", ">"}).Draw(t, "everything")
		default:
			return pattern
		}
	})
}

// expression converts a pattern into a regular expression.
func expression(pattern string) *regexp.Regexp {
	if pattern == "*" {
		pattern = ">"
	}
	return regexp.MustCompile("^" + strings.NewReplacer(".", `\.`, "*", `[^.]+`, ">", `.+`).Replace(pattern) + "$")
}

func TestPatternsMeanWhatTheirRegularExpressionMeans(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern, typ := patterns().Draw(t, "pattern"), dotted(word()).Draw(t, "type")
		require.NoError(t, webhook.ValidatePattern(pattern))
		require.NoError(t, webhook.ValidateEventType(typ))
		require.Equal(t, expression(pattern).MatchString(typ), webhook.MatchPattern(pattern, typ), "%s on %s", pattern, typ)
	})
}

func TestDashesMeanDots(t *testing.T) {
	t.Parallel()
	require.Equal(t, "package.status.packed", webhook.NormalizeEventType("package-status-packed"))
	require.Equal(t, "package.packed_for_refund", webhook.NormalizeEventType("package-packed_for_refund"))
}

func TestEqualSetsOfTypesHaveOneCanonicalForm(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"a.b", "c"}, webhook.CanonicalEventTypes([]string{"c", "a-b", "a.b", "c"}))
	require.Empty(t, webhook.CanonicalEventTypes(nil))
	rapid.Check(t, func(t *rapid.T) {
		types := rapid.SliceOf(rapid.StringOf(rapid.RuneFrom([]rune("ab.-*>")))).Draw(t, "types")
		given := slices.Clone(types)
		once := webhook.CanonicalEventTypes(types)
		require.Equal(t, given, types, "the argument is left alone")
		require.Equal(t, once, webhook.CanonicalEventTypes(once), "idempotent")
		shuffled := rapid.Permutation(types).Draw(t, "shuffled")
		require.Equal(t, once, webhook.CanonicalEventTypes(append(shuffled, shuffled...)))
	})
}
