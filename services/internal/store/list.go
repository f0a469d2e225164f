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

// TimeRange bounds a list by the time when the events were published. A zero time is no bound.
type TimeRange struct {
	From time.Time // inclusive
	To   time.Time // exclusive
}

// SeqPosition returns the position of a row that has a stream's sequence instead of a uuid.
func SeqPosition(at time.Time, seq uint64) Position {
	p := Position{At: at}
	binary.BigEndian.PutUint64(p.ID[8:], seq)
	return p
}

func (p *Position) seq() int64 {
	return int64(binary.BigEndian.Uint64(p.ID[8:]) &^ (1 << 63)) //nolint:gosec // it fits
}

// clauses collects the conditions of a query. Values only appear as placeholders.
type clauses struct {
	conditions []string
	args       []any
}

// arg adds a value and returns its placeholder.
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

// page adds the condition for a page's position, and returns the query's ORDER BY and LIMIT, which allows one row more than the
// page holds. The column id distinguishes rows with the same time; value takes it from a position.
func (c *clauses) page(p Page, at, id string, value func(*Position) any) (tail string) {
	order := "DESC"
	switch {
	case p.Older != nil:
		c.fixed(fmt.Sprintf("(%s, %s) < (%s, %s)", at, id, c.arg(p.Older.At), c.arg(value(p.Older))))
		c.add(at+" <= %s", p.Older.At) // lets the planner prune partitions
	case p.Newer != nil:
		c.fixed(fmt.Sprintf("(%s, %s) > (%s, %s)", at, id, c.arg(p.Newer.At), c.arg(value(p.Newer))))
		c.add(at+" >= %s", p.Newer.At)
		order = "ASC"
	}
	return fmt.Sprintf(" ORDER BY %s %[2]s, %[3]s %[2]s LIMIT %[4]s", at, order, id, c.arg(p.Limit+1))
}

func byUUID(p *Position) any { return p.ID }

func bySeq(p *Position) any { return p.seq() }

// cut drops the row beyond the page, and puts the newest row first.
func cut[T any](rows []T, p Page) (page []T, more bool) {
	if more = len(rows) > p.Limit; more {
		rows = rows[:p.Limit]
	}
	if p.Newer != nil {
		slices.Reverse(rows)
	}
	return rows, more
}

// typeRegexes converts patterns of event types into equivalent regular expressions. They match the same types as
// webhook.MatchPattern.
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

// wantsType adds the condition that the column's type matches one of the types and patterns. There must be at least one.
func (c *clauses) wantsType(column string, patterns []string) {
	if !slices.ContainsFunc(patterns, webhook.IsPattern) {
		c.add(column+" = ANY(%s::text[])", textArray(patterns))
		return
	}
	c.add(column+" ~ ANY(%s::text[])", textArray(typeRegexes(patterns)))
}

// labelled adds the condition that the column, spec of hooks, contains the labels.
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

// ofEntity adds the condition that the column, entity of events, equals the given entity.
func (c *clauses) ofEntity(column, entity string) {
	c.add("split_part("+column+", ':', -1) = split_part(%[1]s, ':', -1) AND "+column+" = %[1]s AND "+column+" <> ''", entity)
}

// ofObject adds the condition that the column, entity of events, has the given id after its last colon, such as 61 in
// package:61.
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
