package cli

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// table has rows of cells in aligned columns. A table with a head is a list, whose columns can be chosen.
type table struct {
	heads []string
	rows  [][]string
	// whole are the columns that must not be narrowed.
	whole map[int]bool
}

// head names the columns of a list. Columns with a leading plus sign are left out on a terminal unless they are
// requested.
func (t *table) head(names ...string) { t.heads = names }

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = oneLine(cell)
	}
	t.rows = append(t.rows, cells)
}

// choose keeps the columns with these names, in this order. Without names it keeps all, or on a terminal those meant
// for it.
func (t *table) choose(names []string, terminal bool) error {
	if t.heads == nil && len(names) > 0 {
		return usage("--columns: this is no list")
	}
	var columns []int
	known := make([]string, len(t.heads))
	for c, head := range t.heads {
		known[c] = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(head, "+"), " ", "-"))
		if t.heads[c] = strings.TrimPrefix(head, "+"); len(names) == 0 && (t.heads[c] == head || !terminal) {
			columns = append(columns, c)
		}
	}
	for _, name := range names {
		name = strings.ToLower(strings.NewReplacer(" ", "-", "_", "-").Replace(strings.TrimSpace(name)))
		c := slices.Index(known, name)
		if c < 0 {
			return usage("--columns: there is no %s; there are %s", name, strings.Join(known, ", "))
		}
		columns = append(columns, c)
	}
	if t.heads == nil {
		return nil
	}
	pick := func(cells []string) []string {
		picked := make([]string, len(columns))
		for i, c := range columns {
			if c < len(cells) {
				picked[i] = cells[c]
			}
		}
		return picked
	}
	t.heads = pick(t.heads)
	for i, cells := range t.rows {
		t.rows[i] = pick(cells)
	}
	return nil
}

// writeCSV writes a list as comma-separated values. It prefixes an apostrophe to what a spreadsheet would take for a
// formula.
func (t *table) writeCSV(out io.Writer, columns []string) error {
	if t.heads == nil && len(t.rows) > 0 {
		return usage("--csv: this is no list")
	}
	if err := t.choose(columns, false); err != nil {
		return err
	}
	w := csv.NewWriter(out)
	w.UseCRLF = true
	for i, cells := range slices.Concat([][]string{t.heads}, t.rows) {
		for c, cell := range cells {
			if i > 0 && cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
				cells[c] = "'" + cell
			}
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

const (
	gap = 2
	// leastID is the minimum length of a shortened id, and leastColumn the minimum width of a column.
	leastID, leastColumn = 8, 9
	// mostLines is the maximum number of lines over which a word is broken.
	mostLines = 3
)

// fit makes a list fit a terminal: it shortens ids as far as they stay distinct within their column, and narrows the
// widest columns. It returns the widths of all columns.
func (t *table) fit(width int) []int {
	if width > 0 && t.heads != nil {
		t.whole = map[int]bool{}
		for c := range t.heads {
			t.whole[c] = t.heads[c] == "EVENT" || t.shorten(c) // events cannot be looked up by a prefix of their ids
		}
	}
	widths, least, total := t.widths()
	if width == 0 || t.heads == nil {
		return widths
	}
	if total > width {
		t.shortenTimes()
		widths, least, total = t.widths()
	}
	for ; total > width; total-- {
		widest := -1
		for c, w := range widths {
			if w > least[c] && (widest < 0 || w > widths[widest]) {
				widest = c
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// shortenTimes removes the date from today's times, and the year and the seconds from others.
func (t *table) shortenTimes() {
	today := time.Now().UTC().Format(time.DateOnly)
	for _, cells := range t.rows {
		for c, cell := range cells {
			at, err := time.Parse(dateLayout, cell)
			switch {
			case err != nil:
			case at.Format(time.DateOnly) == today:
				cells[c] = at.Format("15:04:05Z")
			case time.Since(at).Abs() < 300*24*time.Hour:
				cells[c] = at.Format("01-02 15:04Z")
			}
		}
	}
}

// widths returns the preferred and the minimum widths of the columns, and the total of the preferred ones.
func (t *table) widths() (want, least []int, total int) {
	for _, cells := range slices.Concat([][]string{t.heads}, t.rows) {
		for c, cell := range cells {
			if c == len(want) {
				want, least = append(want, 0), append(least, leastColumn)
			}
			want[c] = max(want[c], utf8.RuneCountInString(cell))
		}
	}
	for c, head := range t.heads {
		if least[c] = max(leastColumn, utf8.RuneCountInString(head)); t.whole[c] {
			least[c] = want[c]
		}
	}
	for _, w := range want {
		total += w
	}
	return want, least, total + gap*(len(want)-1)
}

// shorten shortens the ids of a column, and reports whether it has any.
func (t *table) shorten(column int) bool {
	ids := map[string]bool{}
	for _, cells := range t.rows {
		if column < len(cells) && uuid.Validate(cells[column]) == nil && len(cells[column]) == len(uuid.UUID{}.String()) {
			ids[cells[column]] = true
		}
	}
	length := leastID
	for ; ; length++ {
		begun := map[string]bool{}
		for id := range ids {
			begun[id[:length]] = true
		}
		if len(begun) == len(ids) {
			break
		}
	}
	for _, cells := range t.rows {
		if column < len(cells) && ids[cells[column]] {
			cells[column] = strings.TrimSuffix(cells[column][:length], "-")
		}
	}
	return len(ids) > 0
}

// write writes the table for a terminal of the given width; 0 means no limit.
func (t *table) write(out io.Writer, width int) error {
	widths := t.fit(width)
	t.foldFacts(widths, width)
	rows := t.rows
	if t.heads != nil {
		rows = slices.Insert(slices.Clone(rows), 0, t.heads)
	}
	b := &strings.Builder{}
	for _, cells := range rows {
		for lines, more := 1, true; more; lines++ {
			more = false
			line := &strings.Builder{}
			for c, cell := range cells {
				part, rest := cell, ""
				if width > 0 && t.heads != nil {
					part, rest = wrap(cell, widths[c], lines == mostLines)
				}
				cells[c], more = rest, more || rest != ""
				line.WriteString(part + strings.Repeat(" ", widths[c]-min(widths[c], utf8.RuneCountInString(part))+gap))
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// leastFold is the minimum width for folding a text.
const leastFold = 30

// foldFacts folds the last cells of tables that are not lists, except for JSON, which people copy.
func (t *table) foldFacts(widths []int, width int) {
	if t.heads != nil || width == 0 {
		return
	}
	for _, cells := range t.rows {
		at := gap * (len(cells) - 1)
		for _, w := range widths[:len(cells)-1] {
			at += w
		}
		if last := &cells[len(cells)-1]; width-at >= leastFold && *last != "" && !strings.ContainsRune("{[", rune((*last)[0])) {
			*last = strings.ReplaceAll(fold(*last, width-at, ""), "\n", "\n"+strings.Repeat(" ", at))
		}
	}
}

// wrap breaks a text after the last word that fits, or else within a word, preferably after a punctuation mark. If
// last is set, the rest of a word is cut off.
func wrap(text string, width int, last bool) (line, rest string) {
	runes := []rune(text)
	if len(runes) <= width {
		return text, ""
	}
	for i := width; i > 0; i-- {
		if runes[i] == ' ' {
			return string(runes[:i]), strings.TrimLeft(string(runes[i:]), " ")
		}
	}
	if last && !slices.Contains(runes, ' ') {
		return string(runes[:width-1]) + "…", ""
	}
	for i := width; i > width/4; i-- {
		if strings.ContainsRune("._/-:,", runes[i-1]) {
			return string(runes[:i]), string(runes[i:])
		}
	}
	return string(runes[:width]), string(runes[width:])
}
