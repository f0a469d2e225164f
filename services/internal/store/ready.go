package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Ready reports why this program cannot use the database, and what to do: the database cannot be reached, it refuses access or
// writes, ErrPooler, or ErrSchema. A newer schema is accepted as long as it supports this program, so that an upgrade can
// migrate before it replaces programs, and a program of the previous release can restart meanwhile.
func (d *DB) Ready(ctx context.Context) error {
	if !d.direct.Load() {
		if err := ownSessions(ctx, d.url); err != nil {
			return explain(err)
		}
		d.direct.Store(true)
	}
	have, want, err := d.schema(ctx)
	if err == nil && have != want {
		err = d.carries(ctx, have, want)
	}
	if err == nil {
		err = d.mayWrite(ctx)
	}
	return explain(err)
}

// explain adds instructions to errors that the database's administrator has to fix.
func explain(err error) error {
	pqErr, ok := errors.AsType[*pq.Error](err)
	if !ok {
		return err
	}
	switch pqErr.Code {
	case "28P01", "28000": // invalid_password, invalid_authorization_specification
		return fmt.Errorf("the database does not let this program in: correct user and password in WHISPERER_DATABASE_URL: %w", err)
	case "3D000": // invalid_catalog_name
		return fmt.Errorf("there is no such database: create it, or correct WHISPERER_DATABASE_URL: %w", err)
	case "42501": // insufficient_privilege
		return fmt.Errorf("the database's user lacks a right: grant it, or make the user the owner of the tables: %w", err)
	}
	return err
}

// schema returns the schema version of the database and the one that this program needs. The error is ErrSchema if the former
// is older, or the database belongs to another program.
func (d *core) schema(ctx context.Context) (have, want int64, err error) {
	if err := checkOwner(ctx, d.db); err != nil {
		return 0, 0, err
	}
	err = d.db.GetContext(ctx, &have, `SELECT COALESCE(max(version_id), 0) FROM goose_db_version WHERE is_applied`)
	var pqErr *pq.Error
	switch {
	case errors.As(err, &pqErr) && pqErr.Code.Name() == "undefined_table":
		have = 0
	case err != nil:
		return 0, 0, fmt.Errorf("read schema version: %w", err)
	}
	if want, err = newestMigration(); err != nil {
		return have, 0, err
	}
	if have < want {
		return have, want, fmt.Errorf("%w: it is at version %d and this program needs %d: run `whisperer migrate up`", ErrSchema, have, want)
	}
	return have, want, nil
}

// carries returns an error if a newer schema does not support this program.
func (d *core) carries(ctx context.Context, have, want int64) error {
	var oldest int64
	if err := d.db.GetContext(ctx, &oldest, `SELECT oldest FROM schema_support`); err != nil {
		return fmt.Errorf("read what the schema supports: %w", err)
	}
	if want < oldest {
		return fmt.Errorf("%w: it is at version %d, made for programs that know %d, and this one knows %d: run a newer program",
			ErrSchema, have, oldest, want)
	}
	return nil
}

// checkOwner returns ErrSchema if the database belongs to another program: it has tables, and ours are not among them.
func checkOwner(ctx context.Context, db *sqlx.DB) error {
	var found struct{ Ours, Tables bool }
	err := db.GetContext(ctx, &found, `
		SELECT to_regclass('hooks') IS NOT NULL AND to_regclass('event_types') IS NOT NULL AS ours, EXISTS (
			SELECT FROM pg_class c WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname <> 'goose_db_version'
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
		) AS tables`)
	switch {
	case err != nil:
		return fmt.Errorf("read schema version: %w", err)
	case found.Tables && !found.Ours:
		return fmt.Errorf("%w: the database has tables of another program, and none of Whisperer's: correct WHISPERER_DATABASE_URL, "+
			"or make a database for Whisperer and run `whisperer migrate up`", ErrSchema)
	}
	return nil
}

// mayMigrate returns ErrSchema if the database at the URL belongs to another program.
func mayMigrate(ctx context.Context, url string) error {
	connector, err := pq.NewConnector(url)
	if err != nil {
		return fmt.Errorf("read database URL: %w", withoutURL(err))
	}
	db := sqlx.NewDb(sql.OpenDB(deadlineConnector{connector, silence, endsAlone}), "postgres")
	defer db.Close()
	return explain(checkOwner(ctx, db))
}

// mayWrite returns an error if the database's user lacks privileges on one of our tables.
func (d *core) mayWrite(ctx context.Context) error {
	var lacks []struct{ Name, Right, Role, Schema, Owner string }
	err := d.db.SelectContext(ctx, &lacks, `
		SELECT c.relname AS name, p.name AS right, current_user AS role, h.relnamespace::regnamespace::text AS schema,
			quote_ident(pg_get_userbyid(h.relowner)) AS owner
		FROM pg_class h JOIN pg_class c ON c.relnamespace = h.relnamespace AND c.relowner = h.relowner
		CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (name)
		WHERE h.oid = 'hooks'::regclass AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND (p.name = 'SELECT' OR c.relname NOT IN ('goose_db_version', 'schema_support', 'installation')) AND NOT has_table_privilege(c.oid, p.name)
		ORDER BY 1, 2 LIMIT 1`)
	if err != nil {
		return fmt.Errorf("read what the database's user may do: %w", err)
	}
	if len(lacks) > 0 {
		l := lacks[0]
		return fmt.Errorf("the database's user %s may not %s %s: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s "+
			"to it, or what their owner may: GRANT %s TO %[1]s", l.Role, l.Right, l.Name, l.Schema, l.Owner)
	}
	return nil
}

// ReadyToRecord does what Ready does, for programs that write the ledger. It also checks that the database is not a standby,
// and that the user can create and drop partitions, which requires owning the tables.
func (d *DB) ReadyToRecord(ctx context.Context) error {
	if err := d.Ready(ctx); err != nil {
		return err
	}
	var reads bool
	if err := d.db.GetContext(ctx, &reads, `SELECT current_setting('transaction_read_only')::bool`); err != nil { // true on a standby as well
		return fmt.Errorf("read whether the database may be written: %w", err)
	}
	if reads {
		return errors.New("the database only reads, as a standby does: deliveries go on, and are recorded when WHISPERER_DATABASE_URL leads to the primary")
	}
	var lacks []struct{ Name, Role, Owner string }
	err := d.db.SelectContext(ctx, &lacks, `
		SELECT c.relname AS name, quote_ident(current_user) AS role, quote_ident(pg_get_userbyid(c.relowner)) AS owner
		FROM pg_class h JOIN pg_class c ON c.relnamespace = h.relnamespace
		WHERE h.oid = 'hooks'::regclass AND c.relkind = 'p' AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1 LIMIT 1`)
	if err != nil {
		return fmt.Errorf("read what the database's user owns: %w", explain(err))
	}
	if len(lacks) > 0 {
		l := lacks[0]
		return fmt.Errorf("the database's user %s does not own %s, so it cannot make the partitions of each day: GRANT %s TO %[1]s",
			l.Role, l.Name, l.Owner)
	}
	return nil
}
