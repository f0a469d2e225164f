package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/lib/pq"
)

// copyChunk is the number of bytes that are passed to the driver at once.
const copyChunk = 48 << 10

// copyStatement is the driver's COPY statement with the methods that database/sql does not know.
type copyStatement interface {
	driver.Stmt
	CopyData(ctx context.Context, line string) (driver.Result, error)
}

// copyInto copies rows into a table, within the transaction that the connection has begun. It passes chunks of rows to the
// driver directly, because database/sql would convert each value twice.
func copyInto(ctx context.Context, conn *sql.Conn, table, columns string, rows func(*copyOut)) error {
	var err error
	// Hide the driver's error from database/sql: on driver.ErrBadConn it closes the connection, for which it waits until the
	// transaction has ended, and the transaction waits for this function.
	if raw := conn.Raw(func(dc any) error { err = sendRows(ctx, dc, table, columns, rows); return nil }); raw != nil {
		err = raw
	}
	if err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	return nil
}

func sendRows(ctx context.Context, dc any, table, columns string, rows func(*copyOut)) error {
	preparer, ok := dc.(driver.ConnPrepareContext)
	if !ok {
		return errors.New("the driver cannot copy")
	}
	stmt, err := preparer.PrepareContext(ctx, `COPY `+table+` (`+columns+`) FROM STDIN`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	into, ok := stmt.(copyStatement)
	if !ok {
		return errors.New("the driver cannot copy")
	}
	out := &copyOut{send: func(chunk string) error { _, err := into.CopyData(ctx, chunk); return err }}
	rows(out)
	out.flush()
	if out.err != nil {
		return out.err
	}
	_, err = into.Exec(nil) // ends the COPY
	return err
}

// copyOut writes rows in the text format of COPY (PostgreSQL manual, COPY, "Text Format"). A row consists of one call for each
// column, followed by end.
type copyOut struct {
	send  func(chunk string) error
	buf   []byte
	begun bool // the row already has a column
	err   error
}

func (c *copyOut) column() {
	if c.begun {
		c.buf = append(c.buf, '\t')
	}
	c.begun = true
}

// end ends a row. After an error, rows are discarded.
func (c *copyOut) end() {
	c.buf = append(c.buf, '\n')
	c.begun = false
	if len(c.buf) > copyChunk {
		c.flush()
	}
}

func (c *copyOut) flush() {
	if len(c.buf) > 0 && c.err == nil {
		c.err = c.send(view(c.buf[:len(c.buf)-1])) // the driver adds the last line feed
	}
	c.buf = c.buf[:0]
}

func (c *copyOut) null() {
	c.column()
	c.buf = append(c.buf, `\N`...)
}

func (c *copyOut) int(n int64) {
	c.column()
	c.buf = strconv.AppendInt(c.buf, n, 10)
}

func (c *copyOut) bool(b bool) {
	c.column()
	c.buf = strconv.AppendBool(c.buf, b)
}

func (c *copyOut) time(t time.Time) {
	c.column()
	c.buf = appendTime(c.buf, t)
}

// appendTime does the same as AppendFormat with "2006-01-02 15:04:05.000000000Z" for years with four digits, in less than half the
// time. PostgreSQL refuses what it writes for other years.
func appendTime(buf []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	buf = append(appendDigits(buf, year, 4), '-')
	buf = append(appendDigits(buf, int(month), 2), '-')
	buf = append(appendDigits(buf, day, 2), ' ')
	buf = append(appendDigits(buf, hour, 2), ':')
	buf = append(appendDigits(buf, minute, 2), ':')
	buf = append(appendDigits(buf, second, 2), '.')
	return append(appendDigits(buf, t.Nanosecond(), 9), 'Z')
}

// appendDigits appends the last digits of n, as many as given.
func appendDigits(buf []byte, n, digits int) []byte {
	var room [9]byte
	for i := digits - 1; i >= 0; i-- {
		room[i] = byte('0' + n%10)
		n /= 10
	}
	return append(buf, room[:digits]...)
}

// nanos writes a Unix time in nanoseconds. optionalNanos writes null for 0.
func (c *copyOut) nanos(n int64) { c.time(time.Unix(0, n)) }

func (c *copyOut) optionalNanos(n int64) {
	if n == 0 {
		c.null()
		return
	}
	c.nanos(n)
}

// micros writes nanoseconds as microseconds.
func (c *copyOut) micros(nanos int64) { c.int(nanos / int64(time.Microsecond)) }

// uuid writes an id of 16 bytes. This program wrote the bytes; if the length is wrong nevertheless, uuid writes the zero id.
func (c *copyOut) uuid(b []byte) {
	c.column()
	var id [16]byte
	if len(b) == len(id) {
		id = [16]byte(b)
	}
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	c.buf = append(c.buf, text[:]...)
}

func (c *copyOut) bytes(b []byte) {
	c.column()
	c.buf = append(c.buf, `\\x`...)
	c.buf = hex.AppendEncode(c.buf, b)
}

// optionalBytes writes null for nil.
func (c *copyOut) optionalBytes(b []byte) {
	if b == nil {
		c.null()
		return
	}
	c.bytes(b)
}

// text writes a string as valid text: UTF-8 without NUL.
func (c *copyOut) text(s string) {
	c.column()
	c.buf = appendText(c.buf, s)
}

// optionalText writes null for nil.
func (c *copyOut) optionalText(s *string) {
	if s == nil {
		c.null()
		return
	}
	c.text(*s)
}

// view returns b as a string without copying it. Only use it to read, before b is modified.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // a copy is as expensive as what it is for
}

// texts writes an array of texts.
func (c *copyOut) texts(list pq.StringArray) {
	array, _ := list.Value() // it never returns an error
	text, _ := array.(string)
	c.text(text)
}

// validText returns s as UTF-8 without NUL, which is what PostgreSQL accepts as text.
func validText(s string) string {
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	}
	return s
}

func appendText(buf []byte, s string) []byte {
	s = validText(s)
	// Most texts contain only line feeds of these characters. Checking for the rare ones first is fast, and leaves one
	// character to search for.
	special := "\n"
	for _, rare := range []byte{'\\', '\r', '\t'} {
		if strings.IndexByte(s, rare) >= 0 {
			special = "\n\\\r\t"
			break
		}
	}
	for {
		i := strings.IndexAny(s, special)
		if i < 0 {
			return append(buf, s...)
		}
		buf = append(append(buf, s[:i]...), '\\')
		switch s[i] {
		case '\n':
			buf = append(buf, 'n')
		case '\r':
			buf = append(buf, 'r')
		case '\t':
			buf = append(buf, 't')
		default:
			buf = append(buf, '\\')
		}
		s = s[i+1:]
	}
}
