package nexmark

import (
	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// kind is one of the three kinds of events; all stands for the combined stream.
type kind int

const (
	person kind = iota
	auction
	bid
	all
)

// field names one column that the generator can fill, whatever the stream calls it.
type field int

const (
	personID field = iota
	personName
	personEmail
	personCard
	personCity
	personState
	personTime
	personExtra
	auctionID
	auctionItem
	auctionDescription
	auctionInitialBid
	auctionReserve
	auctionTime
	auctionExpires
	auctionSeller
	auctionCategory
	auctionExtra
	bidAuction
	bidBidder
	bidPrice
	bidChannel
	bidURL
	bidTime
	bidExtra
	fieldCount // the fields above belong to one kind of event; those below to every event
)

const (
	eventType   field = fieldCount + iota // 0 person, 1 auction, 2 bid
	eventNumber                           // the event's place in the whole sequence; only on request
)

// fieldInfo describes one field; the table below is in the order of the constants.
type fieldInfo struct {
	kind   kind
	name   string
	typ    sqltypes.Type
	rowLen int // expected bytes a row, for text
}

var fields = [...]fieldInfo{
	{person, "id", sqltypes.Int8, 0},
	{person, "name", sqltypes.Varchar, 16},
	{person, "email_address", sqltypes.Varchar, 16},
	{person, "credit_card", sqltypes.Varchar, 19},
	{person, "city", sqltypes.Varchar, 14},
	{person, "state", sqltypes.Varchar, 2},
	{person, "date_time", sqltypes.Timestamp, 0},
	{person, "extra", sqltypes.Varchar, 150},
	{auction, "id", sqltypes.Int8, 0},
	{auction, "item_name", sqltypes.Varchar, 14},
	{auction, "description", sqltypes.Varchar, 56},
	{auction, "initial_bid", sqltypes.Int8, 0},
	{auction, "reserve", sqltypes.Int8, 0},
	{auction, "date_time", sqltypes.Timestamp, 0},
	{auction, "expires", sqltypes.Timestamp, 0},
	{auction, "seller", sqltypes.Int8, 0},
	{auction, "category", sqltypes.Int8, 0},
	{auction, "extra", sqltypes.Varchar, 420},
	{bid, "auction", sqltypes.Int8, 0},
	{bid, "bidder", sqltypes.Int8, 0},
	{bid, "price", sqltypes.Int8, 0},
	{bid, "channel", sqltypes.Varchar, 11},
	{bid, "url", sqltypes.Varchar, 67},
	{bid, "date_time", sqltypes.Timestamp, 0},
	{bid, "extra", sqltypes.Varchar, 70},
	{all, "event_type", sqltypes.Int4, 0},
	{all, "event_number", sqltypes.Int8, 0},
}

var kindNames = [...]string{person: "person", auction: "auction", bid: "bid"}

func (f field) text() bool { return fields[f].typ.Phys() == sqltypes.PhysBytes }

// columnName is what a stream of kind k calls field f.
func columnName(k kind, f field) string {
	if k == all && f < fieldCount {
		return kindNames[fields[f].kind] + "_" + fields[f].name
	}
	return fields[f].name
}

// hasField reports whether a stream of kind k may have a column for field f.
func hasField(k kind, f field) bool {
	switch {
	case f == eventNumber:
		return true
	case f == eventType:
		return k == all
	}
	return k == all || fields[f].kind == k
}

// defaultFields lists the fields of a stream whose columns were not declared.
func defaultFields(k kind) []field {
	var out []field
	if k == all {
		out = append(out, eventType)
	}
	for f := range fieldCount {
		if hasField(k, f) {
			out = append(out, f)
		}
	}
	return out
}

// bindColumns finds the field of each declared column. Generated and included columns get −1.
func bindColumns(k kind, cols []catalog.Column) ([]field, error) {
	if len(cols) == 0 {
		return defaultFields(k), nil
	}
	byName, names := map[string]field{}, []string{}
	for f := range eventNumber + 1 {
		if hasField(k, f) {
			byName[columnName(k, f)] = f
			names = append(names, columnName(k, f))
		}
	}
	out := make([]field, len(cols))
	for i, c := range cols {
		if c.Generated != "" {
			out[i] = -1
			continue
		}
		if c.Include != "" {
			return nil, sqlerr.New(sqlerr.InvalidParameterValue, "connector \"nexmark\" has nothing to include as %q", c.Include)
		}
		f, ok := byName[c.Name]
		if !ok {
			return nil, option.Unknown(sqlerr.UndefinedColumn, "nexmark column", c.Name, names)
		}
		if !compatible(fields[f].typ, c.Type) {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "nexmark column %q has type %s, not %s", c.Name, fields[f].typ, c.Type)
		}
		out[i] = f
	}
	return out, nil
}

// compatible reports whether values of type have may be declared as want: the same bytes mean the same.
func compatible(have, want sqltypes.Type) bool {
	want = want.Base()
	switch have.Kind {
	case sqltypes.KInt8:
		return want == sqltypes.Int8
	case sqltypes.KInt4:
		return want == sqltypes.Int4 || want == sqltypes.Int8 || want == sqltypes.Int2
	case sqltypes.KTimestamp:
		return want == sqltypes.Timestamp || want == sqltypes.Timestamptz
	}
	return want == sqltypes.Varchar || want == sqltypes.Text
}

func defaultColumns(k kind) []catalog.Column {
	fs := defaultFields(k)
	cols := make([]catalog.Column, len(fs))
	for i, f := range fs {
		cols[i] = catalog.Column{ID: int32(i + 1), Name: columnName(k, f), Type: fields[f].typ, NotNull: k != all || f == eventType}
	}
	return cols
}

// facts says what holds of a stream of kind k whose columns are bound to fs.
func facts(k kind, fs []field) connector.Facts {
	out := connector.Facts{AppendOnly: true}
	at := map[field]int{}
	for i, f := range fs {
		if f >= 0 {
			at[f] = i
		}
	}
	if i, ok := at[eventNumber]; ok {
		out.UniqueKeys = append(out.UniqueKeys, []int{i})
	}
	if k == all {
		out.Variants = variants(at)
		return out
	}
	for _, f := range []field{personID, auctionID} {
		if i, ok := at[f]; ok && fields[f].kind == k {
			out.UniqueKeys = append(out.UniqueKeys, []int{i})
		}
	}
	return out
}

func variants(at map[field]int) []connector.Variant {
	tag, ok := at[eventType]
	if !ok {
		return nil
	}
	out := make([]connector.Variant, all)
	for k := range all {
		v := connector.Variant{Col: tag, Value: int64(k)}
		for f := range fieldCount {
			if i, ok := at[f]; ok && fields[f].kind == k {
				v.NotNull = append(v.NotNull, i)
				if f == personID || f == auctionID {
					v.UniqueKeys = append(v.UniqueKeys, []int{i})
				}
			}
		}
		out[k] = v
	}
	return out
}
