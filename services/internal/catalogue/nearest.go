package catalogue

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/services/internal/edits"
)

// maxCompared bounds the work that a malicious name can cause. Real names are far shorter.
const maxCompared = 200

// missingToken is the cost of a missing or superfluous token, in characters. So package.packed is closer to
// package.status.packed than to package.created.
const missingToken = 2

// Nearest returns the n names of known that are most similar to name, the most similar first, and equally similar
// ones in alphabetical order. It returns fewer only if known is shorter. The distance is the number of characters, or
// of whole dot-separated tokens, to change. It ignores case and anything after the first 200 bytes.
func Nearest(name string, known []string, n int) []string {
	type candidate struct {
		name     string
		distance int
	}
	candidates := make([]candidate, len(known))
	for i, k := range known {
		candidates[i] = candidate{name: k, distance: difference(folded(name), folded(k))}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	nearest := make([]string, 0, max(0, min(n, len(candidates))))
	for _, c := range candidates[:cap(nearest)] {
		nearest = append(nearest, c.name)
	}
	return nearest
}

func folded(name string) string {
	return strings.ToLower(name[:min(len(name), maxCompared)])
}

// difference returns the lower cost of changing a into b by characters or by tokens.
func difference(a, b string) int {
	byToken := edits.Distance(strings.Split(a, "."), strings.Split(b, "."), missingToken, edits.Characters)
	return min(edits.Characters(a, b), byToken)
}
