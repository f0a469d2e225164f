package demo

// The shop, its locations, goods and customers are invented; phone numbers are from ranges reserved for fiction.

type product struct {
	sku, name string
	price     int // minor units, the same in every currency
	grams     int
}

func products() []product {
	return []product{
		{"AP-LAMP-OAK", "Oak desk lamp", 7990, 1450},
		{"AP-MUG-SAGE", "Stoneware mug, sage", 1290, 390},
		{"AP-VASE-CLAY", "Clay vase, small", 2450, 620},
		{"AP-THROW-WOOL", "Wool throw, moss", 8900, 1100},
		{"AP-BOARD-ASH", "Ash cutting board", 3490, 980},
		{"AP-CANDLE-FIG", "Candle, fig", 1850, 310},
		{"AP-TRAY-CORK", "Cork tray", 2190, 450},
		{"AP-CLOCK-SLATE", "Slate wall clock", 5400, 1700},
	}
}

// channel is a sales channel with its charges; tax is in percent and included in prices.
type channel struct {
	id                   int
	source, currency     string
	country, language    string
	shipping, taxPercent int
}

type person struct {
	name, email                         string
	line1, postcode, city, phone        string
	newLine1, newPostcode, deliveryNote string
}

type market struct {
	channel channel
	people  []person
}

func markets() []market {
	return []market{
		{channel{12, "web-shop", "EUR", "DE", "de", 490, 19}, []person{
			{"Mira Aldane", "mira.aldane@example.com", "Lindenhof 14", "10115", "Berlin", "+493023125014", "Am Speicher 3", "10245", "Please deliver to the office"},
			{"Joris Fennbach", "joris.fennbach@example.com", "Kastanienweg 7", "12047", "Berlin", "+493023125027", "Kastanienweg 9", "12047", "Neighbour at number 9 takes it"},
			{"Tilda Moosreiter", "tilda.moosreiter@example.com", "Quellgasse 30", "13187", "Berlin", "+493023125033", "Torplatz 2", "13353", "We have just moved"},
		}},
		{channel{14, "marketplace", "GBP", "GB", "en", 395, 20}, []person{
			{"Edwin Harrowgate", "edwin.harrowgate@example.com", "5 Plover Row", "EC1A 1AA", "London", "+442079460112", "18 Tinder Yard", "EC2A 2BB", "Leave with the front desk"},
			{"Nell Castleford", "nell.castleford@example.com", "41 Juniper Walk", "SE1 0ZZ", "London", "+442079460158", "43 Juniper Walk", "SE1 0ZZ", "Wrong house number, sorry"},
		}},
	}
}

func carriers() []carrier {
	return []carrier{
		{"kestrel", "Kestrel Express", "standard"},
		{"kestrel", "Kestrel Express", "next day"},
		{"brook", "Brook Parcels", "standard"},
	}
}

func boxes() []dimensions {
	return []dimensions{{250, 200, 150}, {400, 300, 250}, {600, 400, 350}}
}

func warehouse() location {
	return location{
		locationReference: locationReference{ID: 3, Code: "LEJ-1", Name: "Central Warehouse"},
		Type:              "warehouse",
		Address: address{
			Name: "Alder and Pine Central Warehouse", Company: new("Alder and Pine"), Line1: "Hafenring 8", Line2: new("Gate 4"),
			Postcode: "04158", City: "Leipzig", Country: "DE", Phone: new("+493023125100"), Email: new("warehouse@example.com"),
		},
	}
}

// site is where a new store opens.
type site struct{ code, name, line1, postcode, city string }

func sites() []site {
	return []site{
		{"HAM", "Hamburg Store", "Kontorgasse 21", "20457", "Hamburg"},
		{"MUC", "Munich Store", "Isarbogen 5", "80469", "Munich"},
		{"CGN", "Cologne Store", "Domzeile 11", "50667", "Cologne"},
		{"DRS", "Dresden Store", "Elbterrasse 2", "01067", "Dresden"},
	}
}

func system() cause { return cause{Source: "fulfilment", Actor: actor{Type: "system", ID: 1}} }
func carrierGateway() cause {
	return cause{Source: "carrier-gateway", Actor: actor{Type: "integration", ID: 4}}
}
func packingDesk() cause { return desk("warehouse-app", 14, "packing.desk@example.com") }
func supportDesk() cause { return desk("support-desk", 22, "support.desk@example.com") }
func stockDesk() cause   { return desk("stock-app", 31, "stock.desk@example.com") }

func desk(source string, id int, email string) cause {
	return cause{Source: source, Actor: actor{Type: "user", ID: id, Email: email}}
}

// on returns the cause with the channel of the order that it acts upon.
func (c cause) on(o orderReference) cause {
	c.ChannelID = o.ChannelID
	return c
}
