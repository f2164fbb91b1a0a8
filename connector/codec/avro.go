package codec

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/sqlerr"
)

// avroRows decodes Avro records into rows. Each record names the schema that it was written with; for each such
// schema there is a plan: what to do with its fields in their order.
//
// Evolution is by name: a field that no column has is passed over; a column that the schema lacks has the default of the
// schema that the source was created with, or else NULL; numbers and texts are converted where no value is lost.
type avroRows struct {
	*target
	options *avroOptions
	client  *registry.Client
	part    string // of a record that is an envelope: the field that holds the row
	bare    bool   // a value that is not a record is that of the only column
	whole   bool   // so is every value
	fill    bool   // columns that have a value already keep it
	plans   map[int]*avroPlan
	reader  avroReader
	lastID  int
	last    *avroPlan
}

// avroOptions are those of ENCODE AVRO.
type avroOptions struct {
	registry   *registry.Config
	mapsAsJSON bool
	// readerID is the schema that the source was created with; 0: not known.
	readerID int
	keyID    int
}

// The options in which Describe keeps what it found.
const (
	readerIDOption = "schema.id"
	keyIDOption    = "key.schema.id"
)

func parseAvroOptions(what string, options map[string]string) (*avroOptions, *subjectOptions, error) {
	o := option.New(what, options)
	out := &avroOptions{registry: registry.Parse(o)}
	out.mapsAsJSON = o.Enum("map.handling.mode", "map", "map", "jsonb") == "jsonb"
	out.readerID = int(o.Int(readerIDOption, 0, 0, 1<<31-1))
	out.keyID = int(o.Int(keyIDOption, 0, 0, 1<<31-1))
	subjects := parseSubjects(o)
	o.Ignore("key.encode", "ignore_key")
	if out.registry == nil && o.Done() == nil {
		o.Fail("%s needs the option \"schema.registry\"", what)
	}
	return out, subjects, o.Done()
}

// avroPlan is what to do with the records of one schema.
type avroPlan struct {
	err     error // the schema does not fit; no record of it can be read
	steps   []avroStep
	missing []avroDefault
}

// avroStep handles one field.
type avroStep struct {
	name   string
	schema *avroSchema
	node   *avroNode // nil: pass over
	slot   int
	also   []avroCopy // further columns for the same field
}

type avroCopy struct {
	node *avroNode
	slot int
}

// avroDefault fills a column that the schema does not have.
type avroDefault struct {
	slot  int
	node  *avroNode
	value []byte // as a record would hold it
}

// magicSize is the length of what stands in front of a record of a registered schema: a zero and the schema's id.
const magicSize = 5

// schemaID splits a record into the id of its schema and the rest.
func schemaID(b []byte) (id int, rest []byte, err error) {
	if len(b) < magicSize || b[0] != 0 {
		return 0, nil, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "record does not begin with the id of a registered schema")
	}
	return int(binary.BigEndian.Uint32(b[1:])), b[magicSize:], nil
}

// fetchTimeout bounds how long a record may wait for its schema.
const fetchTimeout = 10 * time.Second

// fetch gets a schema of Avro from the registry.
func (o *avroOptions) fetch(client *registry.Client, id int) (*avroSchema, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	s, err := client.ByID(ctx, id)
	if err != nil {
		return nil, err
	}
	return avroOf(s)
}

func avroOf(s *registry.Schema) (*avroSchema, error) {
	if s.Kind != "AVRO" {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "schema %d is of type %s, not AVRO", s.ID, s.Kind)
	}
	return parseAvro(s)
}

func newAvroRows(t *target, o *avroOptions, client *registry.Client, readerID int) *avroRows {
	own := *o
	own.readerID = readerID
	return &avroRows{target: t, options: &own, client: client, plans: map[int]*avroPlan{}, lastID: -1}
}

// plan returns the plan for a schema, and makes it when the schema is met for the first time. An error of the
// registry's is not kept: the next record asks again.
func (d *avroRows) plan(id int) (*avroPlan, error) {
	if id == d.lastID {
		return d.last, d.last.err
	}
	p := d.plans[id]
	if p == nil {
		s, err := d.options.fetch(d.client, id)
		if err != nil && (registry.IsOutage(err) || sqlerr.CodeOf(err) == sqlerr.UndefinedObject) {
			return nil, err
		}
		p = &avroPlan{err: err}
		if err == nil {
			p, err = d.compile(s)
			if registry.IsOutage(err) {
				return nil, err
			}
			if err != nil {
				p = &avroPlan{err: fmt.Errorf("schema %d: %w", id, err)}
			}
		}
		d.plans[id] = p
	}
	d.lastID, d.last = id, p
	return p, p.err
}

// compile makes the plan for the rows of a schema.
func (d *avroRows) compile(s *avroSchema) (*avroPlan, error) {
	p := &avroPlan{}
	c := avroCompiler{settings: d.settings}
	if d.whole || d.bare && s.kind != avroRecord {
		return p, d.compileBare(p, c, s)
	}
	row, err := rowSchema(s, d.part)
	if err != nil {
		return nil, err
	}
	found := make([]bool, len(d.columns))
	for i := range row.fields {
		f := &row.fields[i]
		step := avroStep{name: f.name, schema: f.schema, slot: -1}
		for k := range d.columns {
			col := &d.columns[k]
			if fieldOf(row, col.name) != i {
				continue
			}
			found[k] = true
			node, err := c.node(f.schema, col.typ)
			if err != nil {
				return nil, wrapColumn(col.name, err)
			}
			if step.node == nil {
				step.node, step.slot = node, col.slot
			} else {
				step.also = append(step.also, avroCopy{node, col.slot})
			}
		}
		p.steps = append(p.steps, step)
	}
	for k := range d.columns {
		if !found[k] {
			if err := d.addDefault(p, c, &d.columns[k]); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// compileBare makes the plan for values that are no records.
func (d *avroRows) compileBare(p *avroPlan, c avroCompiler, s *avroSchema) error {
	step := avroStep{name: "key", schema: s}
	switch len(d.columns) {
	case 0:
	case 1:
		node, err := c.node(s, d.columns[0].typ)
		if err != nil {
			return wrapColumn(d.columns[0].name, err)
		}
		step.name, step.node, step.slot = d.columns[0].name, node, d.columns[0].slot
	default:
		return sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is one value, but the key has %d columns", s, len(d.columns))
	}
	p.steps = append(p.steps, step)
	return nil
}

// rowSchema finds the record that holds a row's fields: the whole, or a part of an envelope.
func rowSchema(s *avroSchema, part string) (*avroSchema, error) {
	if part != "" {
		if s.kind != avroRecord {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is not a change event", s)
		}
		i := fieldOf(s, part)
		if i < 0 {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is not a change event: it has no field %q", s, part)
		}
		s = s.fields[i].schema
	}
	if b, ok := s.nullable(); ok {
		s = b
	}
	if s.kind != avroRecord {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is not a record", s)
	}
	return s, nil
}

// fieldOf finds the field of a record for a column: by its name, by its name in another case, by a former name. −1: none.
func fieldOf(s *avroSchema, name string) int {
	for i := range s.fields {
		if s.fields[i].name == name {
			return i
		}
	}
	for i := range s.fields {
		if lower(s.fields[i].name) == lower(name) {
			return i
		}
	}
	for i := range s.fields {
		for _, a := range s.fields[i].aliases {
			if a == name {
				return i
			}
		}
	}
	return -1
}

// addDefault fills a column that a schema lacks from the schema that the source was created with.
func (d *avroRows) addDefault(p *avroPlan, c avroCompiler, col *column) error {
	if d.options.readerID == 0 {
		return nil
	}
	s, err := d.options.fetch(d.client, d.options.readerID)
	if err != nil {
		return err
	}
	row, err := rowSchema(s, d.part)
	if err != nil {
		return err
	}
	i := fieldOf(row, col.name)
	if i < 0 || row.fields[i].def == nil {
		return nil
	}
	f := &row.fields[i]
	node, err := c.node(f.schema, col.typ)
	if err != nil {
		return wrapColumn(col.name, err)
	}
	value, err := appendAvroDefault(nil, f.schema, f.def)
	if err != nil {
		return wrapColumn(col.name, err)
	}
	p.missing = append(p.missing, avroDefault{col.slot, node, value})
	return nil
}

// record decodes the fields of a record that r is in front of.
func (d *avroRows) record(p *avroPlan, r *avroReader, to *Rows) error {
	for i := range p.steps {
		s := &p.steps[i]
		if s.node == nil {
			if err := r.skip(s.schema, 0); err != nil {
				return err
			}
			continue
		}
		col, start := to.cols[s.slot], r.i
		if d.fill && col.Len() > to.n {
			if err := r.skip(s.schema, 0); err != nil {
				return err
			}
			continue
		}
		if err := s.node.append(r, col); err != nil {
			return wrapColumn(s.name, err)
		}
		for k := range s.also {
			r.i = start
			if err := s.also[k].node.append(r, to.cols[s.also[k].slot]); err != nil {
				return wrapColumn(s.name, err)
			}
		}
	}
	for i := range p.missing {
		m := &p.missing[i]
		if err := m.node.append(&avroReader{b: m.value}, to.cols[m.slot]); err != nil {
			return err
		}
	}
	return nil
}

// message decodes a record with its schema's id in front.
func (d *avroRows) message(b []byte, to *Rows) error {
	id, rest, err := schemaID(b)
	if err != nil {
		return err
	}
	p, err := d.plan(id)
	if err != nil {
		return err
	}
	d.reader = avroReader{b: rest}
	if err := d.record(p, &d.reader, to); err != nil {
		return err
	}
	return d.finish()
}

func (d *avroRows) finish() error {
	if n := len(d.reader.b) - d.reader.i; n > 0 {
		return sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Avro record has %d bytes more than its schema says", n)
	}
	return nil
}

// avroDecoder decodes records that are one row each.
type avroDecoder struct{ *avroRows }

func newAvro(t *target, spec *connector.SourceSpec) (Decoder, error) {
	o, _, err := parseAvroOptions("ENCODE AVRO", spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	client, err := registry.New(o.registry)
	if err != nil {
		return nil, err
	}
	return &avroDecoder{newAvroRows(t, o, client, o.readerID)}, nil
}

// Decode implements Decoder.
func (d *avroDecoder) Decode(rec *Record, to *Rows) error {
	start := to.n
	err := d.message(rec.Value, to)
	if err == nil {
		err = d.appendIncludes(rec, to, false)
	}
	if err != nil {
		to.rollback(start)
		return err
	}
	to.end(1)
	return nil
}
