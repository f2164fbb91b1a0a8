package codec

import (
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Encoder writes rows as text records, each with its line end where the format has one.
type Encoder interface {
	// Header is what a file of records begins with; empty for most.
	Header() []byte
	// AppendRow appends the record of a physical row of c, whose columns are the sink's.
	AppendRow(dst []byte, c *delta.Chunk, row int) []byte
}

// jsonLines writes one object per line.
type jsonLines struct{ *jsonEncoder }

// Header implements Encoder.
func (jsonLines) Header() []byte { return nil }

// AppendRow implements Encoder.
func (e jsonLines) AppendRow(dst []byte, c *delta.Chunk, row int) []byte {
	return append(e.jsonEncoder.AppendRow(dst, c, row), '\n')
}

// NewEncoder returns the encoder for a file of text records, or nil for one that is not text (PARQUET).
func NewEncoder(spec *connector.SinkSpec) (Encoder, error) {
	switch spec.Connector.Encode {
	case "", "JSON":
		return jsonLines{newJSONEncoder(spec, allColumns(spec))}, noOptions("ENCODE JSON", spec.Connector.FormatOptions)
	case "CSV":
		return newCSVEncoder(spec)
	case "PARQUET":
		return nil, noOptions("ENCODE PARQUET", spec.Connector.FormatOptions)
	}
	return nil, sqlerr.New(sqlerr.FeatureNotSupported, "ENCODE %s is not supported", spec.Connector.Encode).
		WithHint("Supported are: JSON, CSV, PARQUET.")
}

func allColumns(spec *connector.SinkSpec) []int {
	cols := make([]int, len(spec.Columns))
	for i := range cols {
		cols[i] = i
	}
	return cols
}

// Mode is how a sink shows changes.
type Mode string

// The modes of sinks.
const (
	AppendOnly Mode = "append-only" // rows; there are no deletes
	Upsert     Mode = "upsert"      // the row by its key, a tombstone for a deleted one
	Debezium   Mode = "debezium"    // change events with before and after
)

// SinkMode reads the mode from FORMAT or the option type, and the options that go with it, and checks that the
// sink's facts allow it. force reports force_append_only: deletes are left out.
func SinkMode(o *option.Set, spec *connector.SinkSpec) (mode Mode, force bool) {
	def := map[string]Mode{"PLAIN": AppendOnly, "UPSERT": Upsert, "DEBEZIUM": Debezium, "": AppendOnly}
	mode, ok := def[spec.Connector.Format]
	if !ok {
		o.Fail("sinks have no FORMAT %s; there are PLAIN, UPSERT, DEBEZIUM", spec.Connector.Format)
	}
	if spec.Connector.Format == "" && !spec.AppendOnly && len(spec.Key) > 0 {
		mode = Upsert
	}
	if typ := Mode(o.Enum("type", string(mode), string(AppendOnly), string(Upsert), string(Debezium))); typ != mode {
		if spec.Connector.Format != "" {
			o.Fail("option \"type\" says %s, but FORMAT %s means %s", typ, spec.Connector.Format, mode)
		}
		mode = typ
	}
	o.Ignore("primary_key") // the engine has made it spec.Key
	force = o.Bool("force_append_only", false)
	if f, ok := spec.Connector.FormatOptions["force_append_only"]; ok {
		force = strings.EqualFold(f, "true")
	}
	switch {
	case mode != AppendOnly && len(spec.Key) == 0:
		o.Fail("sink %q of type %s needs a primary key; name its columns with the option \"primary_key\"", spec.Name, mode)
	case mode == AppendOnly && !spec.AppendOnly && !force:
		o.Fail("sink %q is append-only, but its query changes rows; use type = 'upsert', or force_append_only = 'true' to leave deletes out", spec.Name)
	}
	return mode, force
}
