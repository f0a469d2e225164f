package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/publisher/outbox"
)

// pack does the program's work and writes the event about it: either both happen, or neither.
func pack(ctx context.Context, db *sql.DB, parcel int64) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `UPDATE parcels SET status = 'packed' WHERE id = $1`, parcel); err != nil {
		return err
	}
	err = outbox.Write(ctx, tx, publisher.Event{
		Type: "package.status.packed", Entity: fmt.Sprintf("package:%d", parcel), Data: map[string]any{"id": parcel},
	})
	if err != nil {
		return err
	}
	return tx.Commit()
}

func ExampleWrite() {
	db, err := sql.Open("postgres", "postgres://shop@127.0.0.1/shop") // or "pgx"
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := pack(context.Background(), db, 61); err != nil {
		fmt.Println(err)
		return
	}
}

func ExampleRelay_Run() {
	ctx := context.Background() // until the program ends
	db, err := sql.Open("postgres", "postgres://shop@127.0.0.1/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := publisher.New(ctx, publisher.Options{URL: "nats://127.0.0.1:4222", Tenant: "acme", Name: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	relay := outbox.New(outbox.Options{
		DB: db, Publisher: p,
		Published: func(events int, waited time.Duration) { fmt.Println(events, "published; the first waited", waited) },
		Rejected:  func(r outbox.Rejection) { fmt.Println(r.ID, "can never be published:", r.Reason) },
		Failed:    func(err error) { fmt.Println("trying again soon:", err) },
	})
	relay.Run(ctx)
}
