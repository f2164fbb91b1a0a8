package codec

import (
	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// avroKeyed decodes records whose key and value have a schema each: the value puts its row, a tombstone deletes the
// row of the key.
type avroKeyed struct {
	rows *avroRows
	keys keyReader
}

// keyReader reads the columns of the primary key from a record's key. Those that have a value keep it.
type keyReader interface {
	readKey(key []byte, to *Rows) error
}

// readKey implements keyReader.
func (d *avroRows) readKey(key []byte, to *Rows) error { return d.message(key, to) }

func newAvroUpsert(t *target, spec *connector.SourceSpec) (Decoder, error) {
	return newAvroKeyed(t, spec, "")
}

func newAvroKeyed(t *target, spec *connector.SourceSpec, part string) (*avroKeyed, error) {
	o, _, err := parseAvroOptions("ENCODE AVRO", spec.Connector.FormatOptions)
	if err != nil {
		return nil, err
	}
	client, err := registry.New(o.registry)
	if err != nil {
		return nil, err
	}
	d := &avroKeyed{rows: newAvroRows(t, o, client, o.readerID)}
	d.rows.part = part
	if d.keys, err = textKeys(t, spec.Connector.FormatOptions["key.encode"], "AVRO"); err != nil || d.keys != nil {
		return d, err
	}
	keys := newAvroRows(t.keyColumns(), o, client, o.keyID)
	keys.bare, keys.fill = true, true
	d.keys = keys
	for i := range t.includes {
		if inc := &t.includes[i]; inc.what == "key" && inc.typ.Kind != sqltypes.KBytea {
			inc.read = newAvroValue(t, o, client, inc.typ).read
		}
	}
	return d, nil
}

// textKeys returns the reader of keys that are not encoded as the values are; nil for those that are.
func textKeys(t *target, encode, own string) (keyReader, error) {
	switch encode {
	case "", own:
		return nil, nil
	case "JSON", "TEXT", "BYTES":
		m, err := parseJSONOptions(nil)
		return newUpsertDecoder(t, m), err
	}
	return nil, sqlerr.New(sqlerr.FeatureNotSupported, "KEY ENCODE %s is not supported", encode).WithHint("Supported are: %s, JSON, TEXT, BYTES.", own)
}

// avroValue decodes whole messages into values of one type.
type avroValue struct{ rows *avroRows }

func newAvroValue(t *target, o *avroOptions, client *registry.Client, typ sqltypes.Type) *avroValue {
	one := &target{settings: t.settings, columns: []column{{name: "key", typ: typ}}}
	v := &avroValue{newAvroRows(one, o, client, 0)}
	v.rows.whole = true
	return v
}

// read appends a message's value to v.
func (d *avroValue) read(b []byte, v *delta.Vec) error {
	return d.rows.message(b, &Rows{cols: []*delta.Vec{v}, n: v.Len()})
}

// Decode implements Decoder.
func (d *avroKeyed) Decode(rec *Record, to *Rows) error {
	start := to.n
	err := d.decode(rec, to)
	if err != nil {
		to.rollback(start)
	}
	return err
}

func (d *avroKeyed) decode(rec *Record, to *Rows) error {
	if len(rec.Value) == 0 {
		return d.rows.deleteKey(rec, d.keys, to)
	}
	if err := d.rows.message(rec.Value, to); err != nil {
		return err
	}
	if d.rows.lacksKey(to) && rec.Key != nil {
		if err := d.keys.readKey(rec.Key, to); err != nil {
			return err
		}
	}
	return d.rows.finishRow(rec, to, 1)
}

// deleteKey appends the command that deletes the record's key.
func (t *target) deleteKey(rec *Record, keys keyReader, to *Rows) error {
	if t.hasKeyFields() {
		if rec.Key == nil {
			return sqlerr.New(sqlerr.NullValueNotAllowed, "record has neither a key nor a value")
		}
		if err := keys.readKey(rec.Key, to); err != nil {
			return err
		}
	}
	return t.finishRow(rec, to, -1)
}

func (t *target) hasKeyFields() bool {
	for i := range t.columns {
		if t.columns[i].key {
			return true
		}
	}
	return false
}

// lacksKey reports whether a field of the primary key has no value yet.
func (t *target) lacksKey(to *Rows) bool {
	for i := range t.columns {
		if t.columns[i].key && to.cols[t.columns[i].slot].Len() == to.n {
			return true
		}
	}
	return false
}

// check implements checker.
func (d *avroKeyed) check() error { return d.rows.checkColumns(true) }

// avroDebezium decodes Debezium's change events; see debeziumDecoder.
type avroDebezium struct {
	*avroKeyed
	before *avroRows
	plans  map[int]*debeziumPlan
}

// debeziumPlan is what to do with the events of one schema.
type debeziumPlan struct {
	schema            *avroSchema
	before, after, op int // fields of the envelope; −1: absent
	row, key          *avroPlan
	rowOption         int // the branch of "after" that is null
	keyOption         int
}

func newAvroDebezium(t *target, spec *connector.SourceSpec) (Decoder, error) {
	keyed, err := newAvroKeyed(t, spec, "after")
	if err != nil {
		return nil, err
	}
	keyed.rows.part = "after"
	d := &avroDebezium{avroKeyed: keyed, plans: map[int]*debeziumPlan{}}
	d.before = newAvroRows(t.keyColumns(), keyed.rows.options, keyed.rows.client, 0)
	d.before.part = "before"
	return d, nil
}

// Decode implements Decoder.
func (d *avroDebezium) Decode(rec *Record, to *Rows) error {
	if len(rec.Value) == 0 { // the tombstone after a delete
		return nil
	}
	start := to.n
	err := d.decode(rec, to)
	if err != nil {
		to.rollback(start)
	}
	return err
}

func (d *avroDebezium) plan(id int) (*debeziumPlan, error) {
	row, err := d.rows.plan(id)
	if err != nil {
		return nil, err
	}
	if p := d.plans[id]; p != nil {
		return p, nil
	}
	key, err := d.before.plan(id)
	if err != nil {
		return nil, err
	}
	s, err := d.rows.options.fetch(d.rows.client, id)
	if err != nil {
		return nil, err
	}
	p := &debeziumPlan{schema: s, row: row, key: key, before: fieldOf(s, "before"), after: fieldOf(s, "after"), op: fieldOf(s, "op")}
	if p.op < 0 {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is not a change event: it has no field \"op\"", s)
	}
	p.rowOption, p.keyOption = nullBranch(s.fields[p.after].schema), nullBranch(s.fields[p.before].schema)
	d.plans[id] = p
	return p, nil
}

// nullBranch returns the branch of a union that is null, −1 for none, −2 for a schema that is no union.
func nullBranch(s *avroSchema) int {
	if s.kind != avroUnion {
		return -2
	}
	for i, b := range s.union {
		if b.kind == avroNull {
			return i
		}
	}
	return -1
}

// present passes the branch of a union, and reports whether a value follows.
func present(r *avroReader, null int) (bool, error) {
	if null == -2 {
		return true, nil
	}
	k, err := r.long()
	return int(k) != null, err
}

func (d *avroDebezium) decode(rec *Record, to *Rows) error {
	id, rest, err := schemaID(rec.Value)
	if err != nil {
		return err
	}
	p, err := d.plan(id)
	if err != nil {
		return err
	}
	r := &d.rows.reader
	*r = avroReader{b: rest}
	var op []byte
	beforeAt, hasAfter := 0, false
	for i := range p.schema.fields {
		switch i {
		case p.after:
			if hasAfter, err = present(r, p.rowOption); err == nil && hasAfter {
				err = d.rows.record(p.row, r, to)
			}
		case p.op:
			op, err = readOp(r, p.schema.fields[i].schema)
		default:
			if i == p.before {
				beforeAt = r.i
			}
			err = r.skip(p.schema.fields[i].schema, 0)
		}
		if err != nil {
			return err
		}
	}
	if err := d.rows.finish(); err != nil {
		return err
	}
	return d.apply(rec, p, string(op), hasAfter, rest[beforeAt:], to)
}

// readOp reads a text that may be optional.
func readOp(r *avroReader, s *avroSchema) ([]byte, error) {
	if s.kind == avroUnion {
		k, err := r.branch(len(s.union))
		if err != nil || s.union[k].kind == avroNull {
			return nil, err
		}
		s = s.union[k]
	}
	if s.kind != avroString {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "field \"op\" of a change event is of Avro type %s", s)
	}
	return r.bytes()
}

// apply turns an event, whose "after" has been decoded, into a command.
func (d *avroDebezium) apply(rec *Record, p *debeziumPlan, op string, hasAfter bool, before []byte, to *Rows) error {
	t := d.rows.target
	switch op {
	case "c", "r", "u":
		if !hasAfter {
			return sqlerr.New(sqlerr.InvalidTextRepresentation, "change event with op %q has no \"after\"", op)
		}
		if t.keepUnavailable(to); op != "u" && to.kept != nil {
			return errUnavailable(op)
		}
		return t.finishRow(rec, to, 1)
	case "d":
		to.rollback(to.n)
		r := avroReader{b: before}
		has, err := present(&r, p.keyOption)
		if err != nil {
			return err
		}
		if !has {
			return t.deleteKey(rec, d.keys, to)
		}
		if err := d.before.record(p.key, &r, to); err != nil {
			return err
		}
		return t.finishRow(rec, to, -1)
	case "t", "m", "":
		to.rollback(to.n)
		return nil
	}
	return sqlerr.New(sqlerr.InvalidTextRepresentation, "change event has unknown op %q", op)
}
