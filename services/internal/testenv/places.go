package testenv

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TablesWith returns the tables of a database that contain the text in any column.
func TablesWith(tb testing.TB, url, text string) (found []string) {
	tb.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(tb.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			tb.Fatal(err)
		}
		tables = append(tables, table)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	for _, table := range tables {
		var n int
		err := db.QueryRowContext(tb.Context(), fmt.Sprintf(`SELECT count(*) FROM %q t WHERE t::text LIKE $1 OR t::text LIKE $2`, table),
			"%"+text+"%", "%"+hex.EncodeToString([]byte(text))+"%").Scan(&n)
		if err != nil {
			tb.Fatalf("search table %s: %v", table, err)
		}
		if n > 0 {
			found = append(found, table)
		}
	}
	return found
}

// FilesWith returns the files below a folder that contain the text. It skips files that disappear meanwhile.
func FilesWith(tb testing.TB, folder, text string) (found []string) {
	tb.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // it was removed meanwhile
		}
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(text)) {
			found = append(found, strings.TrimPrefix(path, folder))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}
