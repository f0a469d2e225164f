// Package edits counts what it takes to change one text into another.
package edits

// Characters is how many bytes have to be added, dropped or changed to make b of a.
func Characters(a, b string) int {
	return Distance([]byte(a), []byte(b), 1, func(x, y byte) int {
		if x == y {
			return 0
		}
		return 1
	})
}

// Distance is the least cost of changing a into b (Levenshtein), where adding or dropping an element costs gap and
// putting y in the place of x costs swap(x, y).
func Distance[E any](a, b []E, gap int, swap func(x, y E) int) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j * gap
	}
	for i, x := range a {
		diagonal := row[0]
		row[0] = (i + 1) * gap
		for j, y := range b {
			above := row[j+1]
			row[j+1] = min(above+gap, row[j]+gap, diagonal+swap(x, y))
			diagonal = above
		}
	}
	return row[len(b)]
}
