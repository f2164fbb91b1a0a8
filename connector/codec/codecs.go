package codec

import (
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// format is one FORMAT … ENCODE … that sources can read.
type format struct {
	format, encode string
	upsert         bool // rows are commands by primary key
	typedKey       bool // keys have a schema: INCLUDE KEY has its type
	make           func(t *target, spec *connector.SourceSpec) (Decoder, error)
}

// formats lists what sources read from records. Parquet is read by files (parquet.go), not by records.
var formats = []format{
	{"PLAIN", "JSON", false, false, newJSON},
	{"PLAIN", "AVRO", false, true, newAvro},
	{"PLAIN", "PROTOBUF", false, false, newProto},
	{"PLAIN", "CSV", false, false, newCSV},
	{"PLAIN", "BYTES", false, false, newBytes},
	{"UPSERT", "JSON", true, false, newUpsert},
	{"UPSERT", "AVRO", true, true, newAvroUpsert},
	{"UPSERT", "PROTOBUF", true, false, newProtoUpsert},
	{"DEBEZIUM", "JSON", true, false, newDebezium},
	{"DEBEZIUM", "AVRO", true, true, newAvroDebezium},
	{"MAXWELL", "JSON", true, false, newMaxwell},
	{"CANAL", "JSON", true, false, newCanal},
}

// NewDecoder returns the decoder for the format of spec, and says whether its rows are commands by primary
// key. Without FORMAT and ENCODE records are PLAIN JSON.
func NewDecoder(spec *connector.SourceSpec) (d Decoder, upsert bool, err error) {
	f, e := spec.Connector.Format, spec.Connector.Encode
	if f == "" {
		f = "PLAIN"
	}
	if e == "" {
		e = "JSON"
	}
	var names []string
	for i := range formats {
		if formats[i].format == f && formats[i].encode == e {
			return formats[i].open(spec)
		}
		names = append(names, formats[i].format+" ENCODE "+formats[i].encode)
	}
	return nil, false, sqlerr.New(sqlerr.FeatureNotSupported, "FORMAT %s ENCODE %s is not supported", f, e).
		WithHint("Supported are: %s.", strings.Join(names, ", "))
}

func (f *format) open(spec *connector.SourceSpec) (Decoder, bool, error) {
	if f.upsert && len(spec.PrimaryKey) == 0 {
		return nil, false, sqlerr.New(sqlerr.InvalidTableDefinition, "FORMAT %s needs a PRIMARY KEY", f.format)
	}
	if len(spec.Columns) == 0 {
		return nil, false, sqlerr.New(sqlerr.InvalidTableDefinition, "ENCODE %s needs declared columns", f.encode)
	}
	t, err := newTarget(spec, f.typedKey)
	if err != nil {
		return nil, false, err
	}
	d, err := f.make(t, spec)
	return d, f.upsert, err
}

// Check validates the format, its options and the columns of spec. It asks for the schema, where there is one.
func Check(spec *connector.SourceSpec) (bool, error) {
	all := *spec
	all.Cols = make([]int, len(spec.Columns))
	for i := range all.Cols {
		all.Cols[i] = i
	}
	d, upsert, err := NewDecoder(&all)
	if c, ok := d.(checker); ok && err == nil {
		err = c.check()
	}
	return upsert, err
}

// checker is a Decoder that knows more than it needs to decode: whether the columns are there.
type checker interface{ check() error }

// noOptions refuses format options where there are none.
func noOptions(what string, options map[string]string) error { return option.New(what, options).Done() }

// Framer is a Decoder whose records lie one behind the other in a stream of bytes.
type Framer interface {
	// Frame returns the length of the first record in b, its end included; 0 when it is not complete.
	Frame(b []byte) int
}

// HeaderReader is a Framer whose stream begins with a record that names the fields.
type HeaderReader interface {
	// NeedsHeader reports whether there is such a record.
	NeedsHeader() bool
	// ReadHeader takes it.
	ReadHeader(record []byte) error
}
