package demo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/demo"
)

func start() time.Time { return time.Date(2026, 3, 12, 9, 0, 0, 0, time.UTC) }

func take(seed uint64, n int) []demo.Event {
	story := demo.New(seed, start())
	events := make([]demo.Event, n)
	for i := range events {
		events[i] = story.Next()
	}
	return events
}

func TestTheSameSeedGivesTheSameStory(t *testing.T) {
	t.Parallel()
	told, again, other := take(7, 300), take(7, 300), take(8, 300)
	require.Equal(t, told, again)
	require.NotEqual(t, told, other)
}

func TestEveryEventIsValidByTheCatalogue(t *testing.T) {
	t.Parallel()
	schemas := map[string]*jsonschema.Schema{}
	for _, known := range catalogue.All() {
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(known.Schema))
		require.NoError(t, err)
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		require.NoError(t, c.AddResource("mem:///"+known.Name, schema))
		schemas[known.Name], err = c.Compile("mem:///" + known.Name)
		require.NoError(t, err)
	}
	for seed := range uint64(10) {
		for _, event := range take(seed, 300) {
			require.Contains(t, schemas, event.Type)
			data, err := jsonschema.UnmarshalJSON(bytes.NewReader(event.Data))
			require.NoError(t, err)
			require.NoError(t, schemas[event.Type].Validate(data), event.Type)
		}
	}
}

func TestTheFirstCycleHoldsEveryTypeInHalfAMinute(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		story := demo.New(seed, start())
		missing := map[string]bool{}
		for _, known := range catalogue.All() {
			missing[known.Name] = true
		}
		var passed time.Duration
		orders := 0
		for {
			event := story.Next()
			require.GreaterOrEqual(t, event.After, time.Duration(0))
			require.Less(t, event.After, 4*time.Second, "no pause is dull")
			if event.Type == "order.created" {
				orders++
			}
			if orders > 3 {
				break // the second cycle has begun
			}
			passed += event.After
			delete(missing, event.Type)
		}
		require.Empty(t, missing, "seed %d", seed)
		require.InDelta(t, 30, passed.Seconds(), 7, "seed %d", seed)
	}
}

func TestEventsCarryTheTimeOfSending(t *testing.T) {
	t.Parallel()
	now := start()
	for _, event := range take(3, 300) {
		now = now.Add(event.After)
		var data struct {
			UpdatedAt time.Time `json:"updated_at"`
		}
		require.NoError(t, json.Unmarshal(event.Data, &data))
		if event.Type == "package.shipment.awb_number" {
			continue // this event is about the package's shipment: the package itself did not change
		}
		require.WithinDuration(t, now, data.UpdatedAt, 50*time.Millisecond, event.Type)
	}
}

// fact is the part of an event's data that the tests check.
type fact struct {
	ID             int
	Number         string
	Status         string
	PreviousStatus *string   `json:"previous_status"`
	NewStatus      *string   `json:"new_status"`
	CreatedAt      time.Time `json:"created_at"`
	Order          struct {
		ID        int
		Number    string
		ChannelID int `json:"channel_id"`
	}
	ChannelID   int `json:"channel_id"`
	PackageID   int `json:"package_id"`
	Destination struct{ ID int }
	Shipment    struct {
		ID        int
		AWBNumber string `json:"awb_number"`
	}
	AWBNumber *string `json:"awb_number"`
}

// history is what a reader of the story knows so far, by entity.
type history struct {
	facts map[string]fact
	types map[string][]string
	awbs  map[int]string // by shipment
}

func TestEventsFollowFromEarlierOnes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		h := history{facts: map[string]fact{}, types: map[string][]string{}, awbs: map[int]string{}}
		for _, event := range take(seed, 300) {
			var now fact
			require.NoError(t, json.Unmarshal(event.Data, &now))
			thing, _, _ := strings.Cut(event.Type, ".")
			require.Equal(t, fmt.Sprintf("%s:%d", thing, now.ID), event.Entity)

			h.requireLife(t, event, now)
			h.requireReferences(t, event, now)
			h.requireCause(t, event, now)

			h.facts[event.Entity] = now
			h.types[event.Entity] = append(h.types[event.Entity], event.Type)
		}
	}
}

// requireLife requires that an object is created once, keeps its number, and changes from its current status.
func (h history) requireLife(t *testing.T, event demo.Event, now fact) {
	t.Helper()
	before, known := h.facts[event.Entity]
	created := strings.HasSuffix(event.Type, ".created")
	require.NotEqual(t, created, known, "%s of %s", event.Type, event.Entity)
	if created {
		require.Nil(t, now.PreviousStatus)
		return
	}
	require.Equal(t, before.Number, now.Number)
	require.True(t, before.CreatedAt.Equal(now.CreatedAt))
	switch {
	case now.NewStatus == nil:
		require.Equal(t, before.Status, now.Status, event.Type)
	case before.Status == now.Status:
		types := h.types[event.Entity]
		require.Regexp(t, `\.transitioned$`, types[len(types)-1], "%s tells the same move once more", event.Type)
		require.Equal(t, before.PreviousStatus, now.PreviousStatus)
	default:
		require.Equal(t, before.Status, *now.PreviousStatus, event.Type)
		require.Equal(t, now.Status, *now.NewStatus, event.Type)
	}
}

// requireReferences requires that everything an event refers to was introduced before, with the same number and
// channel.
func (h history) requireReferences(t *testing.T, event demo.Event, now fact) {
	t.Helper()
	if now.Order.ID != 0 {
		order, ok := h.facts[fmt.Sprintf("order:%d", now.Order.ID)]
		require.True(t, ok, event.Type)
		require.Equal(t, order.Number, now.Order.Number)
		require.Equal(t, order.ChannelID, now.Order.ChannelID)
	}
	if now.PackageID != 0 {
		pack, ok := h.facts[fmt.Sprintf("package:%d", now.PackageID)]
		require.True(t, ok, event.Type)
		require.Equal(t, pack.Order, now.Order)
	}
	if now.Destination.ID != 0 {
		require.Contains(t, h.facts, fmt.Sprintf("stock_location:%d", now.Destination.ID))
	}
	if now.Shipment.ID != 0 {
		shipment, ok := h.facts[fmt.Sprintf("shipment:%d", now.Shipment.ID)]
		require.True(t, ok, event.Type)
		require.Equal(t, now.ID, shipment.PackageID)
		require.NotEmpty(t, now.Shipment.AWBNumber)
		h.awbs[now.Shipment.ID] = now.Shipment.AWBNumber
	}
}

// requireCause requires that everything an event depends on has happened before.
func (h history) requireCause(t *testing.T, event demo.Event, now fact) {
	t.Helper()
	switch event.Type {
	case "shipment.created":
		require.Contains(t, h.types[fmt.Sprintf("package:%d", now.PackageID)], "package.status.packed")
		require.Nil(t, now.AWBNumber)
	case "package.status.shipped":
		require.Contains(t, h.types[event.Entity], "package.shipment.awb_number")
	case "shipment.status.updated":
		require.NotNil(t, now.AWBNumber)
		require.Equal(t, h.awbs[now.ID], *now.AWBNumber)
	case "package.status.packed_for_refund":
		require.Equal(t, "delivered", h.facts[fmt.Sprintf("order:%d", now.Order.ID)].Status)
	case "order.cancelled":
		for entity, f := range h.facts {
			if f.Order.ID == now.ID {
				require.Equal(t, "cancelled", f.Status, entity)
			}
		}
	}
}

func TestOrdersAddUp(t *testing.T) {
	t.Parallel()
	for _, event := range take(11, 600) {
		if event.Type != "order.created" {
			continue
		}
		var order struct {
			Lines []struct {
				Quantity, Total int
				UnitPrice       int `json:"unit_price"`
			}
			Totals struct {
				Items, Discount, Shipping, Tax int
				GrandTotal                     int `json:"grand_total"`
			}
		}
		require.NoError(t, json.Unmarshal(event.Data, &order))
		items := 0
		for _, line := range order.Lines {
			require.Equal(t, line.Quantity*line.UnitPrice, line.Total)
			items += line.Total
		}
		require.Equal(t, items, order.Totals.Items)
		require.Equal(t, items-order.Totals.Discount+order.Totals.Shipping, order.Totals.GrandTotal)
		require.Positive(t, order.Totals.Tax)
	}
}
