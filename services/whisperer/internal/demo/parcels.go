package demo

import (
	"fmt"
	"strings"
	"time"
)

// planPackage publishes which package will carry an order.
func (t *teller) planPackage(o *order) *parcel {
	p := t.newParcel(o, "outbound")
	t.publish("package.created", p.entity(), system().on(p.Order), p)
	return p
}

// newParcel puts a complete order into one box, to or from the customer.
func (t *teller) newParcel(o *order, kind string) *parcel {
	id := next(&t.ids.pack)
	p := &parcel{
		ID: id, Number: fmt.Sprintf("PK-%06d", id), Kind: kind, Status: "waiting",
		Order: o.orderReference, StockLocation: warehouse().locationReference,
		Dimensions: pick(t.rng, boxes()), WeightG: 280, // the empty box
		times: times{t.now, t.now},
	}
	for i, l := range o.Lines {
		p.Lines = append(p.Lines, packageLine{l.ID, l.SKU, l.Name, l.Quantity})
		p.WeightG += l.Quantity * o.grams[i]
	}
	return p
}

// pack picks the goods of a planned package and closes it.
func (t *teller) pack(o *order, p *parcel) {
	t.pause(1500 * time.Millisecond)
	t.movePackage(p, "picking", packingDesk(), "")
	t.blink()
	t.moveOrder(o, "processing")
	t.pause(2 * time.Second)
	t.movePackage(p, "packed", packingDesk(), "")
}

// movePackage publishes the transition and then, if the new status has an event type of its own, that event.
func (t *teller) movePackage(p *parcel, to string, by cause, reason string) {
	was := p.Status
	p.Status, p.UpdatedAt = to, t.now
	data := struct {
		*parcel
		move
	}{p, move{PreviousStatus: &was, NewStatus: to, Reason: reason}}
	t.publish("package.status.transitioned", p.entity(), by.on(p.Order), data)
	switch to {
	case "packed", "shipped", "cancelled":
		t.blink()
		t.publish("package.status."+to, p.entity(), by.on(p.Order), data)
	}
}

// takeBack returns a complete order and refunds it, except for the shipping costs.
func (t *teller) takeBack(o *order) {
	p := t.newParcel(o, "return")
	t.publish("package.created", p.entity(), supportDesk().on(p.Order), p)
	t.pause(2 * time.Second)

	was := p.Status
	p.Status, p.UpdatedAt = "packed_for_refund", t.now
	data := struct {
		*parcel
		move
		RefundAmount int    `json:"refund_amount"`
		Currency     string `json:"currency"`
	}{p, move{PreviousStatus: &was, NewStatus: p.Status, Reason: "Not as expected"}, o.Totals.Items - o.Totals.Discount, o.Currency}
	t.publish("package.status.transitioned", p.entity(), packingDesk().on(p.Order), data)
	t.blink()
	t.publish("package.status.packed_for_refund", p.entity(), packingDesk().on(p.Order), data)
	t.pause(time.Second)
	t.moveOrder(o, "refunded")
}

// bookShipment books a carrier for a packed package; the air waybill number comes later.
func (t *teller) bookShipment(o *order, p *parcel) *shipment {
	id := next(&t.ids.shipment)
	from := warehouse().Address
	expected := t.now.Truncate(time.Hour).AddDate(0, 0, 2)
	s := &shipment{
		ID: id, Number: fmt.Sprintf("SH-%06d", id), PackageID: p.ID, Order: p.Order,
		Carrier: pick(t.rng, carriers()), Status: "created",
		StatusHistory: []statusEntry{{"created", t.now, &from.City}},
		Sender:        from, Recipient: o.ShippingAddress, WeightG: p.WeightG,
		ExpectedDeliveryAt: &expected, times: times{t.now, t.now},
	}
	t.publish("shipment.created", s.entity(), system().on(s.Order), s)
	return s
}

func (t *teller) assignAWB(s *shipment, p *parcel) {
	awb := fmt.Sprintf("%s%08d", strings.ToUpper(s.Carrier.Code[:2]), t.rng.IntN(100_000_000))
	url := "https://track.example.com/" + s.Carrier.Code + "/" + awb
	s.AWBNumber, s.TrackingURL, s.UpdatedAt = &awb, &url, t.now
	t.publish("package.shipment.awb_number", p.entity(), carrierGateway().on(p.Order), struct {
		*parcel
		Shipment shipmentReference `json:"shipment"`
	}{p, shipmentReference{s.ID, s.Number, s.Carrier, awb, url, t.now}})
}

// moveShipment publishes where the carrier saw the goods, or that the shipment was cancelled, which needs a reason.
func (t *teller) moveShipment(s *shipment, to string, place *string, reason string) {
	was := s.Status
	s.Status, s.UpdatedAt = to, t.now
	s.StatusHistory = append(s.StatusHistory, statusEntry{to, t.now, place})
	eventType, by := "shipment.status.updated", carrierGateway()
	if to == "cancelled" {
		eventType, by = "shipment.cancelled", supportDesk()
		s.ExpectedDeliveryAt = nil
	}
	t.publish(eventType, s.entity(), by.on(s.Order), struct {
		*shipment
		move
	}{s, move{PreviousStatus: &was, NewStatus: to, Reason: reason}})
}
