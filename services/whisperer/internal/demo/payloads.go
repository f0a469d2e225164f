package demo

import (
	"fmt"
	"time"
)

// The following types match the catalogue's schemas. Money is in minor units of the order's currency.

type cause struct {
	Source    string `json:"source"`
	Actor     actor  `json:"actor"`
	RequestID string `json:"request_id"`
	ChannelID int    `json:"channel_id,omitempty"`
}

type actor struct {
	Type  string `json:"type"`
	ID    int    `json:"id"`
	Email string `json:"email,omitempty"`
}

type address struct {
	Name     string  `json:"name"`
	Company  *string `json:"company"`
	Line1    string  `json:"line1"`
	Line2    *string `json:"line2"`
	Postcode string  `json:"postcode"`
	City     string  `json:"city"`
	Country  string  `json:"country"`
	Phone    *string `json:"phone"`
	Email    *string `json:"email"`
}

type customer struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Language string `json:"language"`
}

type orderReference struct {
	ID        int    `json:"id"`
	Number    string `json:"number"`
	ChannelID int    `json:"channel_id"`
}

type orderLine struct {
	ID        int    `json:"id"`
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Quantity  int    `json:"quantity"`
	UnitPrice int    `json:"unit_price"`
	Total     int    `json:"total"`
}

type orderTotals struct {
	Items      int `json:"items"`
	Discount   int `json:"discount"`
	Shipping   int `json:"shipping"`
	Tax        int `json:"tax"`
	GrandTotal int `json:"grand_total"`
}

type order struct {
	orderReference
	Status          string      `json:"status"`
	Currency        string      `json:"currency"`
	Customer        customer    `json:"customer"`
	BillingAddress  address     `json:"billing_address"`
	ShippingAddress address     `json:"shipping_address"`
	Lines           []orderLine `json:"lines"`
	Totals          orderTotals `json:"totals"`
	PaymentMethod   string      `json:"payment_method"`
	Note            *string     `json:"note"`
	times

	grams []int // of one piece, line by line
}

func (o *order) entity() string { return fmt.Sprintf("order:%d", o.ID) }

type packageLine struct {
	OrderLineID int    `json:"order_line_id"`
	SKU         string `json:"sku"`
	Name        string `json:"name"`
	Quantity    int    `json:"quantity"`
}

type dimensions struct {
	LengthMM int `json:"length_mm"`
	WidthMM  int `json:"width_mm"`
	HeightMM int `json:"height_mm"`
}

type parcel struct {
	ID            int               `json:"id"`
	Number        string            `json:"number"`
	Kind          string            `json:"kind"`
	Status        string            `json:"status"`
	Order         orderReference    `json:"order"`
	StockLocation locationReference `json:"stock_location"`
	Lines         []packageLine     `json:"lines"`
	Dimensions    dimensions        `json:"dimensions"`
	WeightG       int               `json:"weight_g"`
	times
}

func (p *parcel) entity() string { return fmt.Sprintf("package:%d", p.ID) }

type carrier struct {
	Code    string `json:"code"`
	Name    string `json:"name"`
	Service string `json:"service"`
}

type shipmentReference struct {
	ID          int       `json:"id"`
	Number      string    `json:"number"`
	Carrier     carrier   `json:"carrier"`
	AWBNumber   string    `json:"awb_number"`
	TrackingURL string    `json:"tracking_url"`
	AssignedAt  time.Time `json:"assigned_at"`
}

type statusEntry struct {
	Status string    `json:"status"`
	At     time.Time `json:"at"`
	Place  *string   `json:"place"`
}

type shipment struct {
	ID                 int            `json:"id"`
	Number             string         `json:"number"`
	PackageID          int            `json:"package_id"`
	Order              orderReference `json:"order"`
	Carrier            carrier        `json:"carrier"`
	AWBNumber          *string        `json:"awb_number"`
	TrackingURL        *string        `json:"tracking_url"`
	Status             string         `json:"status"`
	StatusHistory      []statusEntry  `json:"status_history"`
	Sender             address        `json:"sender"`
	Recipient          address        `json:"recipient"`
	WeightG            int            `json:"weight_g"`
	ExpectedDeliveryAt *time.Time     `json:"expected_delivery_at"`
	times
}

func (s *shipment) entity() string { return fmt.Sprintf("shipment:%d", s.ID) }

type locationReference struct {
	ID   int    `json:"id"`
	Code string `json:"code"`
	Name string `json:"name"`
}

type location struct {
	locationReference
	Type         string   `json:"type"`
	Address      address  `json:"address"`
	Timezone     string   `json:"timezone"`
	Capabilities []string `json:"capabilities"`
	Priority     int      `json:"priority"`
	IsActive     bool     `json:"is_active"`
	times
}

func (l *location) entity() string { return fmt.Sprintf("stock_location:%d", l.ID) }

type transferItem struct {
	SKU              string `json:"sku"`
	Name             string `json:"name"`
	Quantity         int    `json:"quantity"`
	ReceivedQuantity *int   `json:"received_quantity"`
}

type transfer struct {
	ID          int               `json:"id"`
	Number      string            `json:"number"`
	Status      string            `json:"status"`
	Source      locationReference `json:"source"`
	Destination locationReference `json:"destination"`
	Items       []transferItem    `json:"items"`
	Note        *string           `json:"note"`
	times
}

func (t *transfer) entity() string { return fmt.Sprintf("transfer:%d", t.ID) }

type times struct {
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// move is what a change of status adds to the data of its events; a nil PreviousStatus means that there was none.
type move struct {
	PreviousStatus *string `json:"previous_status"`
	NewStatus      string  `json:"new_status"`
	Reason         string  `json:"reason,omitempty"`
}
