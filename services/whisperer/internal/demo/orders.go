package demo

import (
	"fmt"
	"time"
)

// orderDelivered goes from the web shop to the customer's door without problems.
func orderDelivered(t *teller) {
	o := t.placeOrder()
	t.pause(time.Second)
	p := t.planPackage(o)
	t.deliver(o, p)
}

// orderReturned is redirected before it is packed, and comes back after delivery.
func orderReturned(t *teller) {
	o := t.placeOrder()
	t.pause(time.Second)
	t.redirect(o)
	t.pause(500 * time.Millisecond)
	p := t.planPackage(o)
	t.deliver(o, p)
	t.pause(2 * time.Second)
	t.takeBack(o)
}

// orderCancelled is cancelled after the carrier was booked, but before it has come.
func orderCancelled(t *teller) {
	const reason = "Ordered twice by mistake"
	o := t.placeOrder()
	t.pause(time.Second)
	p := t.planPackage(o)
	t.pack(o, p)
	t.pause(time.Second)
	s := t.bookShipment(o, p)
	t.pause(2 * time.Second)
	t.moveShipment(s, "cancelled", nil, reason)
	t.pause(500 * time.Millisecond)
	t.movePackage(p, "cancelled", supportDesk(), reason)
	t.pause(500 * time.Millisecond)

	was := o.Status
	o.Status, o.UpdatedAt = "cancelled", t.now
	t.publish("order.cancelled", o.entity(), supportDesk().on(o.orderReference), struct {
		order
		move
		RefundAmount int `json:"refund_amount"`
	}{*o, move{PreviousStatus: &was, NewStatus: o.Status, Reason: reason}, o.Totals.GrandTotal})
}

func (t *teller) placeOrder() *order {
	m := pick(t.rng, markets())
	who := pick(t.rng, m.people)
	home := address{
		Name: who.name, Line1: who.line1, Postcode: who.postcode, City: who.city,
		Country: m.channel.country, Phone: &who.phone, Email: &who.email,
	}
	id := next(&t.ids.order)
	o := &order{
		orderReference: orderReference{ID: id, Number: fmt.Sprintf("SO-%d-%06d", t.now.Year(), id), ChannelID: m.channel.id},
		Status:         "new", Currency: m.channel.currency,
		Customer:       customer{ID: next(&t.ids.customer), Name: who.name, Email: who.email, Language: m.channel.language},
		BillingAddress: home, ShippingAddress: home,
		PaymentMethod: pick(t.rng, []string{"card", "invoice", "wallet"}),
		times:         times{t.now, t.now},
	}
	goods := products()
	t.rng.Shuffle(len(goods), func(i, j int) { goods[i], goods[j] = goods[j], goods[i] })
	for _, g := range goods[:1+t.rng.IntN(3)] {
		n := 1 + t.rng.IntN(3)
		o.Lines = append(o.Lines, orderLine{next(&t.ids.line), g.sku, g.name, n, g.price, n * g.price})
		o.Totals.Items += n * g.price
		o.grams = append(o.grams, g.grams)
	}
	o.Totals.Shipping = m.channel.shipping
	o.Totals.Discount = pick(t.rng, []int{0, 0, 500})
	o.Totals.GrandTotal = o.Totals.Items - o.Totals.Discount + o.Totals.Shipping
	o.Totals.Tax = o.Totals.GrandTotal * m.channel.taxPercent / (100 + m.channel.taxPercent)

	shopper := cause{Source: m.channel.source, Actor: actor{Type: "customer", ID: o.Customer.ID}}
	t.publish("order.created", o.entity(), shopper.on(o.orderReference), o)
	return o
}

// redirect changes the address of a new order.
func (t *teller) redirect(o *order) {
	for _, m := range markets() {
		for _, who := range m.people {
			if who.email == o.Customer.Email {
				o.ShippingAddress.Line1, o.ShippingAddress.Postcode, o.Note = who.newLine1, who.newPostcode, &who.deliveryNote
			}
		}
	}
	o.UpdatedAt = t.now
	t.publish("order.updated", o.entity(), supportDesk().on(o.orderReference), struct {
		*order
		ChangedFields []string `json:"changed_fields"`
	}{o, []string{"shipping_address", "note"}})
}

// deliver takes a planned package to the customer.
func (t *teller) deliver(o *order, p *parcel) {
	t.pack(o, p)
	t.pause(time.Second)
	s := t.bookShipment(o, p)
	t.pause(800 * time.Millisecond)
	t.assignAWB(s, p)
	t.pause(2 * time.Second)
	t.moveShipment(s, "picked_up", new("Leipzig"), "")
	t.blink()
	t.movePackage(p, "shipped", packingDesk(), "")
	t.blink()
	t.moveOrder(o, "shipped")
	t.pause(2 * time.Second)
	t.moveShipment(s, "in_transit", new("Leipzig parcel centre"), "")
	t.pause(2 * time.Second)
	t.moveShipment(s, "out_for_delivery", &o.ShippingAddress.City, "")
	t.pause(2 * time.Second)
	if t.rng.IntN(4) == 0 {
		t.moveShipment(s, "in_transit", new("Nobody at home, back to the depot"), "")
		t.pause(time.Second)
		t.moveShipment(s, "out_for_delivery", &o.ShippingAddress.City, "")
		t.pause(time.Second)
	}
	t.moveShipment(s, "delivered", &o.ShippingAddress.City, "")
	t.blink()
	t.movePackage(p, "delivered", carrierGateway(), "")
	t.blink()
	t.moveOrder(o, "delivered")
}

func (t *teller) moveOrder(o *order, to string) {
	was := o.Status
	o.Status, o.UpdatedAt = to, t.now
	t.publish("order.status.updated", o.entity(), system().on(o.orderReference), struct {
		*order
		move
	}{o, move{PreviousStatus: &was, NewStatus: to}})
}
