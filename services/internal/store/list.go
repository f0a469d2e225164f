package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// TimeRange bounds a list by when the events were published; a zero time is no bound.
type TimeRange struct {
	From time.Time // inclusive
	To   time.Time // exclusive
}

// SeqPosition is the position of something that has a sequence of the OMS stream and no uuid.
func SeqPosition(at time.Time, seq uint64) Position {
	p := Position{At: at}
	binary.BigEndian.PutUint64(p.ID[8:], seq)
	return p
}

func (p *Position) seq() int64 {
	return int64(binary.BigEndian.Uint64(p.ID[8:]) &^ (1 << 63)) //nolint:gosec // it fits
}

// clauses collects the conditions of a query; values go in as placeholders only.
type clauses struct {
	conditions []string
	args       []any
}

// arg returns the placeholder of a value.
func (c *clauses) arg(value any) string {
	c.args = append(c.args, value)
	return fmt.Sprintf("$%d", len(c.args))
}

// add adds a condition with one %s, or several %[1]s, for the value.
func (c *clauses) add(format string, value any) {
	c.conditions = append(c.conditions, fmt.Sprintf(format, c.arg(value)))
}

// fixed adds a condition without a value.
func (c *clauses) fixed(condition string) { c.conditions = append(c.conditions, condition) }

func (c *clauses) published(column string, r TimeRange) {
	if !r.From.IsZero() {
		c.add(column+" >= %s", r.From)
	}
	if !r.To.IsZero() {
		c.add(column+" < %s", r.To)
	}
}

func (c *clauses) where() string { return strings.Join(c.conditions, " AND ") }

// page adds the position of a page, and returns the ORDER BY and LIMIT of its query: one row more than the page has.
// id tells rows of the same time apart; value takes it from a position.
func (c *clauses) page(p Page, at, id string, value func(*Position) any) (tail string) {
	order := "DESC"
	switch {
	case p.Older != nil:
		c.fixed(fmt.Sprintf("(%s, %s) < (%s, %s)", at, id, c.arg(p.Older.At), c.arg(value(p.Older))))
		c.add(at+" <= %s", p.Older.At) // what partitions are chosen by
	case p.Newer != nil:
		c.fixed(fmt.Sprintf("(%s, %s) > (%s, %s)", at, id, c.arg(p.Newer.At), c.arg(value(p.Newer))))
		c.add(at+" >= %s", p.Newer.At)
		order = "ASC"
	}
	return fmt.Sprintf(" ORDER BY %s %[2]s, %[3]s %[2]s LIMIT %[4]s", at, order, id, c.arg(p.Limit+1))
}

func byUUID(p *Position) any { return p.ID }

func bySeq(p *Position) any { return p.seq() }

// cut drops the row beyond the page and puts the newest first.
func cut[T any](rows []T, p Page) (page []T, more bool) {
	if more = len(rows) > p.Limit; more {
		rows = rows[:p.Limit]
	}
	if p.Newer != nil {
		slices.Reverse(rows)
	}
	return rows, more
}

// typeRegexes are patterns of event types as regular expressions, which say the same as webhook.MatchPattern.
func typeRegexes(patterns []string) []string {
	list := make([]string, len(patterns))
	for i, p := range patterns {
		switch p {
		case "*", ">":
			list[i] = `^(?!(hook|delivery)\.)`
		default:
			list[i] = "^" + strings.NewReplacer(".", `\.`, "*", "[^.]+", ">", ".+").Replace(p) + "$"
		}
	}
	return list
}

// wantsType adds the condition that the column is of one of the types and patterns; there must be one.
func (c *clauses) wantsType(column string, patterns []string) {
	if !slices.ContainsFunc(patterns, webhook.IsPattern) {
		c.add(column+" = ANY(%s::text[])", textArray(patterns))
		return
	}
	c.add(column+" ~ ANY(%s::text[])", textArray(typeRegexes(patterns)))
}

// labelled adds the condition that the column, spec of hooks, has the labels.
func (c *clauses) labelled(column string, labels webhook.LabelSelector) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		label := column + " -> 'labels' ->> " + c.arg(name)
		if value := labels[name]; value != "" {
			c.conditions = append(c.conditions, label+" = "+c.arg(value))
		} else {
			c.fixed(label + " IS NOT NULL")
		}
	}
}

// ofEntity adds the condition that the column, entity of events, is the given one.
func (c *clauses) ofEntity(column, entity string) {
	c.add("split_part("+column+", ':', -1) = split_part(%[1]s, ':', -1) AND "+column+" = %[1]s AND "+column+" <> ''", entity)
}

// ofObject adds the condition that the column, entity of events, has the given id within it: 61 of package:61.
func (c *clauses) ofObject(column, id string) {
	c.add("split_part("+column+", ':', -1) = %s AND "+column+" <> ''", id)
}

func uuidList(ids []uuid.UUID) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	return list
}
