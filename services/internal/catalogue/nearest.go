package catalogue

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/services/internal/edits"
)

// maxCompared bounds the work that a hostile name can cause; real names are far shorter.
const maxCompared = 200

// missingToken is what a left-out or superfluous token of a name costs, in characters: package.packed means
// package.status.packed rather than package.created.
const missingToken = 2

// Nearest returns the n names of known that are most like name, the nearest first, and those equally near in
// alphabetical order. It returns fewer only when known is shorter. Names are compared by how many characters, or whole
// dot-separated tokens, must change; case does not count, nor does anything after the first 200 bytes.
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

// difference is the cheaper of changing a into b by characters and by tokens.
func difference(a, b string) int {
	byToken := edits.Distance(strings.Split(a, "."), strings.Split(b, "."), missingToken, edits.Characters)
	return min(edits.Characters(a, b), byToken)
}
