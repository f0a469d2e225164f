package demo

import (
	"fmt"
	"time"
)

// stockOfANewStore opens a store, fills it from the warehouse, enables it to ship by itself, and cancels a second
// transfer.
func stockOfANewStore(t *teller) {
	store := t.openStore()
	t.pause(2 * time.Second)
	first := t.askForTransfer(store, "First stock of the new store")
	for _, status := range []string{"ready_to_shipment", "in_transit", "transferred"} {
		t.pause(4 * time.Second)
		t.moveTransfer(first, status, "")
	}
	t.pause(2 * time.Second)
	t.letStoreShip(store)
	t.pause(2 * time.Second)
	second := t.askForTransfer(store, "Weekly replenishment")
	t.pause(3 * time.Second)
	t.moveTransfer(second, "cancelled", "Source is short after a recount")
}

func (t *teller) openStore() *location {
	where := pick(t.rng, sites())
	id := next(&t.ids.location)
	l := &location{
		locationReference: locationReference{ID: id, Code: fmt.Sprintf("%s-%d", where.code, id), Name: where.name},
		Type:              "store",
		Address: address{
			Name: "Alder and Pine " + where.name, Company: new("Alder and Pine"), Line1: where.line1,
			Postcode: where.postcode, City: where.city, Country: "DE",
			Phone: new("+493023125170"), Email: new("stores@example.com"),
		},
		Timezone: "Europe/Berlin", Capabilities: []string{"pickup", "return", "transfer"},
		Priority: 20, IsActive: true, times: times{t.now, t.now},
	}
	t.publish("stock_location.created", l.entity(), stockDesk(), l)
	return l
}

func (t *teller) letStoreShip(l *location) {
	l.Capabilities = []string{"ship", "pickup", "return", "transfer"}
	l.Priority, l.UpdatedAt = 10, t.now
	t.publish("stock_location.updated", l.entity(), stockDesk(), struct {
		*location
		ChangedFields []string `json:"changed_fields"`
	}{l, []string{"capabilities", "priority"}})
}

func (t *teller) askForTransfer(to *location, note string) *transfer {
	id := next(&t.ids.transfer)
	tr := &transfer{
		ID: id, Number: fmt.Sprintf("TR-%06d", id), Status: "created",
		Source: warehouse().locationReference, Destination: to.locationReference,
		Note: &note, times: times{t.now, t.now},
	}
	for _, p := range products()[:2+t.rng.IntN(3)] {
		tr.Items = append(tr.Items, transferItem{SKU: p.sku, Name: p.name, Quantity: 12 * (1 + t.rng.IntN(4))})
	}
	t.publish("transfer.status.created", tr.entity(), stockDesk(), struct {
		*transfer
		move
	}{tr, move{NewStatus: "created"}})
	return tr
}

// moveTransfer publishes the transition and then the new status.
func (t *teller) moveTransfer(tr *transfer, to, reason string) {
	was := tr.Status
	tr.Status, tr.UpdatedAt = to, t.now
	if to == "transferred" {
		for i := range tr.Items {
			tr.Items[i].ReceivedQuantity = &tr.Items[i].Quantity
		}
	}
	data := struct {
		*transfer
		move
	}{tr, move{PreviousStatus: &was, NewStatus: to, Reason: reason}}
	t.publish("transfer.status.transitioned", tr.entity(), stockDesk(), data)
	t.blink()
	t.publish("transfer.status."+to, tr.entity(), stockDesk(), data)
}
