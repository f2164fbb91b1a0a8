package codec

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/big"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/registry"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// avroOut writes values of a type as a schema has them.
type avroOut struct {
	schema   *avroSchema
	typ      sqltypes.Type
	sense    sense
	settings *sqlio.Settings
	branch   int      // of a union: where values go
	null     int      // and where NULL goes; −1: nowhere
	elem     *avroOut // of a union, array, map
	fields   []avroOutField
	kind     avroKind // of the value, below a union
}

// avroOutField is a field of a record: a column of a row, a field of a composite value, or always its default.
type avroOutField struct {
	name   string
	at     int
	out    *avroOut
	filler []byte
}

// avroOutCompiler makes writers.
type avroOutCompiler struct{ settings *sqlio.Settings }

// column is a column that a record must hold.
type outColumn struct {
	name string
	typ  sqltypes.Type
	at   int
}

func outColumns(spec *connector.SinkSpec, cols []int) []outColumn {
	var out []outColumn
	for _, i := range cols {
		out = append(out, outColumn{spec.Columns[i].Name, spec.Columns[i].Type, i})
	}
	return out
}

// record matches columns with the fields of a record. Error: 42804 when a column has no field, or a field neither a column
// nor a default.
func (c avroOutCompiler) record(s *avroSchema, cols []outColumn) ([]avroOutField, error) {
	if b, ok := s.nullable(); ok {
		s = b
	}
	if s.kind != avroRecord {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is not a record", s)
	}
	out := make([]avroOutField, len(s.fields))
	for i := range s.fields {
		out[i] = avroOutField{name: s.fields[i].name, at: -1}
	}
	used := map[string]bool{}
	for _, col := range cols {
		i := fieldOf(s, fieldName(col.name, used))
		if i < 0 {
			i = fieldOf(s, col.name)
		}
		if i < 0 {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro schema %s has no field for column %q", s.name, col.name)
		}
		w, err := c.out(s.fields[i].schema, col.typ)
		if err != nil {
			return nil, wrapColumn(col.name, err)
		}
		out[i].at, out[i].out = col.at, w
	}
	for i := range out {
		if out[i].at >= 0 {
			continue
		}
		f := &s.fields[i]
		if f.def == nil {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "field %q of the Avro schema %s has neither a column nor a default", f.name, s.name)
		}
		var err error
		if out[i].filler, err = appendAvroDefault(nil, f.schema, f.def); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// out makes the writer of values of type t as s. Error: 42804.
func (c avroOutCompiler) out(s *avroSchema, t sqltypes.Type) (w *avroOut, err error) {
	w = &avroOut{schema: s, typ: t, sense: s.sense(), settings: c.settings, kind: s.kind, null: -1}
	if s.kind != avroUnion {
		return w, c.value(w, s, t)
	}
	w.branch = -1
	var first error
	for i, b := range s.union {
		if b.kind == avroNull {
			w.null = i
			continue
		}
		if w.branch >= 0 {
			continue
		}
		if e, err := c.out(b, t); err == nil {
			w.branch, w.elem = i, e
		} else if first == nil {
			first = err
		}
	}
	if w.branch < 0 && w.null < 0 {
		return nil, first
	}
	if w.branch < 0 && first != nil {
		return nil, first
	}
	return w, nil
}

func (c avroOutCompiler) mismatch(s *avroSchema, t sqltypes.Type) error {
	return sqlerr.New(sqlerr.DatatypeMismatch, "type %s cannot be written as Avro type %s", t.StructString(), s)
}

func (c avroOutCompiler) value(w *avroOut, s *avroSchema, t sqltypes.Type) (err error) {
	ok := false
	switch s.kind {
	case avroNull:
		ok = true
	case avroBoolean:
		ok = t.Kind == sqltypes.KBool
	case avroInt, avroLong:
		switch w.sense.meaning {
		case dateDays:
			ok = t.Kind == sqltypes.KDate
		case timeScaled:
			ok = t.Kind == sqltypes.KTime
		case stampScaled:
			ok = isStamp(t)
		default:
			ok = t.IsInteger() || t.Kind == sqltypes.KOid
		}
	case avroFloat, avroDouble:
		ok = t.IsFloat() || t.IsInteger()
	case avroString:
		ok = true
	case avroBytes, avroFixed:
		switch w.sense.meaning {
		case decimalBytes:
			ok = t.Kind == sqltypes.KNumeric || t.IsInteger()
		case uuidText:
			ok = t.Kind == sqltypes.KUUID
		case spanFixed:
			ok = t.Kind == sqltypes.KInterval
		default:
			ok = t.Kind == sqltypes.KBytea
		}
	case avroEnum:
		ok = t.IsString() || t.Kind == sqltypes.KEnum
	case avroArray:
		if ok = t.Kind == sqltypes.KArray; ok {
			w.elem, err = c.out(s.items, t.ElemType())
		}
	case avroMap:
		if ok = t.Kind == sqltypes.KMap; ok {
			_, v := t.KeyValue()
			w.elem, err = c.out(s.items, v)
		}
	case avroRecord:
		if ok = t.HasFields(); ok {
			var cols []outColumn
			for i, f := range t.Fields() {
				cols = append(cols, outColumn{f.Name, f.Type, i})
			}
			w.fields, err = c.record(s, cols)
		}
	}
	if !ok {
		return c.mismatch(s, t)
	}
	return err
}

// append appends value i of v.
func (w *avroOut) append(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	null := v.IsNull(i)
	switch {
	case w.kind == avroUnion && null && w.null >= 0:
		return appendAvroLong(dst, int64(w.null)), nil
	case null && w.kind == avroNull:
		return dst, nil
	case null:
		return nil, sqlerr.New(sqlerr.NotNullViolation, "NULL cannot be written as Avro type %s", w.schema)
	case w.kind == avroUnion:
		return w.elem.append(appendAvroLong(dst, int64(w.branch)), v, i)
	}
	switch w.kind {
	case avroBoolean:
		if v.Bools[i] {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case avroInt, avroLong:
		return w.appendWhole(dst, v.Ints[i])
	case avroFloat, avroDouble:
		if v.Type.Phys() == sqltypes.PhysInt64 {
			return appendAvroFloat(dst, w.kind, float64(v.Ints[i])), nil
		}
		return appendAvroFloat(dst, w.kind, v.Floats[i]), nil
	case avroString:
		return appendAvroText(dst, v, i, w.settings), nil
	case avroBytes, avroFixed:
		return w.appendRaw(dst, v, i)
	case avroEnum:
		text := string(sqlio.AppendText(nil, v, i, w.settings))
		for k, s := range w.schema.symbols {
			if s == text {
				return appendAvroLong(dst, int64(k)), nil
			}
		}
		return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "%q is not a symbol of Avro type %s", text, w.schema)
	}
	return w.appendNested(dst, v.Bytes(i))
}

// appendAvroText appends the text of a value; a timestamptz is UTC's.
func appendAvroText(dst []byte, v *delta.Vec, i int, s *sqlio.Settings) []byte {
	if v.Type.IsString() {
		return appendAvroBytes(dst, v.Bytes(i))
	}
	return appendAvroBytes(dst, sqlio.AppendText(nil, v, i, s))
}

// appendWhole appends an integer, date, time or time stamp. Infinite ones have no number.
func (w *avroOut) appendWhole(dst []byte, x int64) ([]byte, error) {
	switch w.sense.meaning {
	case dateDays:
		if x == datetime.DateInfinity || x == datetime.DateNegInfinity {
			return nil, w.noNumber()
		}
		x += epochDays
	case timeScaled, stampScaled:
		if w.sense.meaning == stampScaled {
			if x == math.MaxInt64 || x == math.MinInt64 {
				return nil, w.noNumber()
			}
			x += epochMicros
		}
		if w.sense.div > 1 {
			if x > math.MaxInt64/w.sense.div || x < math.MinInt64/w.sense.div {
				return nil, w.noNumber()
			}
			x *= w.sense.div
		}
		x = floorDivide(x, w.sense.mul)
	}
	if w.kind == avroInt && (x < math.MinInt32 || x > math.MaxInt32) {
		return nil, sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%d\" is out of range for Avro type int", x)
	}
	return appendAvroLong(dst, x), nil
}

func (w *avroOut) noNumber() error {
	return sqlerr.New(sqlerr.DatetimeFieldOverflow, "value of type %s is out of range for Avro type %s", w.typ, w.schema)
}

func (w *avroOut) appendRaw(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	var b []byte
	switch w.sense.meaning {
	case decimalBytes:
		d := numeric.Dec{}
		if v.Type.Phys() == sqltypes.PhysInt64 {
			d = numeric.FromInt64(v.Ints[i])
		} else {
			d = v.Decs[i]
		}
		var err error
		if b, err = w.unscaled(d); err != nil {
			return nil, err
		}
	case spanFixed:
		iv := v.Intervals[i]
		if iv.Months < 0 || iv.Days < 0 || iv.Micros < 0 || iv.Micros%1000 != 0 || iv.Micros/1000 > math.MaxUint32 {
			return nil, sqlerr.New(sqlerr.IntervalFieldOverflow, "interval has no form as Avro type %s", w.schema)
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(iv.Months))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(iv.Days))
		return binary.LittleEndian.AppendUint32(dst, uint32(iv.Micros/1000)), nil
	default:
		b = v.Bytes(i)
	}
	if w.kind == avroBytes {
		return appendAvroBytes(dst, b), nil
	}
	if len(b) != w.schema.size {
		return nil, sqlerr.New(sqlerr.StringDataRightTruncation, "value of %d bytes is not of Avro type %s, which has %d", len(b), w.schema, w.schema.size)
	}
	return append(dst, b...), nil
}

// unscaled returns a decimal as big-endian two's complement, of the schema's scale, and of its size if it is fixed.
func (w *avroOut) unscaled(d numeric.Dec) ([]byte, error) {
	d, err := d.Round(int32(w.schema.scale))
	if err != nil {
		return nil, err
	}
	coef, _, ok := d.ToBig()
	if !ok {
		return nil, sqlerr.New(sqlerr.NumericValueOutOfRange, "%s cannot be written as Avro type %s", d.String(), w.schema)
	}
	size := coef.BitLen()/8 + 1
	if coef.Sign() < 0 { // −128 needs one byte, 128 two
		size = new(big.Int).Add(coef, big.NewInt(1)).BitLen()/8 + 1
	}
	if w.kind == avroFixed {
		if size > w.schema.size {
			return nil, sqlerr.New(sqlerr.NumericValueOutOfRange, "%s is out of range for Avro type %s", d.String(), w.schema)
		}
		size = w.schema.size
	}
	if coef.Sign() < 0 {
		coef = new(big.Int).Add(coef, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return coef.FillBytes(make([]byte, size)), nil
}

func (w *avroOut) appendNested(dst, b []byte) ([]byte, error) {
	switch w.kind {
	case avroArray:
		a, err := sqlio.ReadArray(w.typ, b)
		if err != nil {
			return nil, err
		}
		if a.NDim() > 1 {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "arrays of several dimensions cannot be written as Avro")
		}
		v := scratchVec(a.Elem())
		for _, d := range a.Elems() {
			v.AppendDatum(d)
		}
		return appendAvroItems(dst, v.Len(), func(dst []byte, i int) ([]byte, error) { return w.elem.append(dst, v, i) })
	case avroMap:
		keys, values, err := sqlio.ReadMap(w.typ, b)
		if err != nil {
			return nil, err
		}
		kt, vt := w.typ.KeyValue()
		v := scratchVec(vt)
		for _, d := range values {
			v.AppendDatum(d)
		}
		return appendAvroItems(dst, len(keys), func(dst []byte, i int) ([]byte, error) {
			return w.elem.append(appendAvroBytes(dst, sqlio.AppendTextDatum(nil, kt, keys[i], w.settings)), v, i)
		})
	}
	values, err := sqlio.DecodeRecord(w.typ, b)
	if err != nil {
		return nil, err
	}
	for i := range w.fields {
		f := &w.fields[i]
		if f.at < 0 {
			dst = append(dst, f.filler...)
			continue
		}
		v := scratchVec(w.typ.Fields()[f.at].Type)
		if f.at < len(values) {
			v.AppendDatum(values[f.at])
		} else {
			v.AppendNull()
		}
		if dst, err = f.out.append(dst, v, 0); err != nil {
			return nil, wrapColumn(f.name, err)
		}
	}
	return dst, nil
}

// avroMessages writes rows as Avro records with the id of a registered schema in front.
type avroMessages struct {
	head   []byte
	fields []avroOutField
	// Of an envelope: its fields in order, 'b'efore, 'a'fter, 'o'p, 't's_ms, 0 for one that is always its default.
	envelope []avroEnvelopeField
}

type avroEnvelopeField struct {
	role   byte
	null   int // branch for null, −2 without a union
	branch int
	filler []byte
}

// writeRow implements rowWriter.
func (e *avroMessages) writeRow(dst []byte, c *delta.Chunk, row int) ([]byte, error) {
	return e.appendRow(append(dst, e.head...), c, row)
}

func (e *avroMessages) appendRow(dst []byte, c *delta.Chunk, row int) ([]byte, error) {
	var err error
	for i := range e.fields {
		f := &e.fields[i]
		if f.at < 0 {
			dst = append(dst, f.filler...)
		} else if dst, err = f.out.append(dst, c.Cols[f.at], row); err != nil {
			return nil, wrapEncode(f.name, err)
		}
	}
	return dst, nil
}

// wrapEncode names the column in an error about writing its value.
func wrapEncode(name string, err error) error {
	return sqlerr.New(sqlerr.CodeOf(err), "column %q: %s", name, sqlerr.From(err).Message).WithCause(err)
}

// writeEvent implements valueWriter.
func (e *avroMessages) writeEvent(dst []byte, c *delta.Chunk, before, after int, op byte, millis int64) ([]byte, error) {
	dst = append(dst, e.head...)
	var err error
	for i := range e.envelope {
		f := &e.envelope[i]
		row := after
		switch f.role {
		case 0:
			dst = append(dst, f.filler...)
			continue
		case 'b':
			row = before
		case 'a':
		default:
			if f.null != -2 {
				dst = appendAvroLong(dst, int64(f.branch))
			}
			if f.role == 'o' {
				dst = appendAvroBytes(dst, []byte{op})
			} else {
				dst = appendAvroLong(dst, millis)
			}
			continue
		}
		if row < 0 {
			dst = appendAvroLong(dst, int64(f.null))
			continue
		}
		if dst, err = e.appendRow(appendAvroLong(dst, int64(f.branch)), c, row); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// newAvroMessages registers the schemas of values and keys, or with auto.register.schemas = 'false' takes those that
// are there. A nil key writer means that keys are not Avro.
func newAvroMessages(spec *connector.SinkSpec, mode Mode) (valueWriter, rowWriter, error) {
	o := option.New("ENCODE AVRO", spec.Connector.FormatOptions)
	config, subjects := registry.Parse(o), parseSinkSubjects(o)
	register := o.Bool("auto.register.schemas", true)
	o.Ignore("force_append_only")
	keyEncode := o.Enum("key.encode", "AVRO", "AVRO", "JSON", "TEXT", "BYTES")
	if config == nil && o.Done() == nil {
		o.Fail("ENCODE AVRO needs the option \"schema.registry\"")
	}
	if err := o.Done(); err != nil {
		return nil, nil, err
	}
	client, err := registry.New(config)
	if err != nil {
		return nil, nil, err
	}
	r := &avroRegistrar{spec: spec, client: client, subjects: subjects, register: register}
	if subjects.strategy != "record_name_strategy" {
		if r.topic, err = topicOf(spec.Connector.Options); err != nil {
			return nil, nil, err
		}
	}
	rows, err := r.values(mode)
	if err != nil || keyEncode != "AVRO" || len(spec.Key) == 0 {
		return rows, nil, err
	}
	keys, err := r.keys()
	if err != nil {
		return nil, nil, err
	}
	return rows, keys, nil
}

// parseSinkSubjects reads the options of parseSubjects; a sink can name its records itself.
func parseSinkSubjects(o *option.Set) *subjectOptions {
	s := &subjectOptions{message: o.String("message", ""), keyMessage: o.String("key.message", "")}
	s.strategy = o.Enum("schema.registry.name.strategy", "topic_name_strategy", "topic_name_strategy", "record_name_strategy", "topic_record_name_strategy")
	return s
}

// avroRegistrar finds the schemas of a sink.
type avroRegistrar struct {
	spec     *connector.SinkSpec
	client   *registry.Client
	subjects *subjectOptions
	topic    string
	register bool
}

func (r *avroRegistrar) values(mode Mode) (*avroMessages, error) {
	base := avroName(r.topic)
	if base == "_" {
		base = avroName(r.spec.Name)
	}
	if r.subjects.message == "" {
		r.subjects.message = base + "_value"
	}
	if r.subjects.keyMessage == "" {
		r.subjects.keyMessage = base + "_key"
	}
	g := &avroGenerator{names: map[string]bool{}}
	generate := func() map[string]any {
		if mode != Debezium {
			return g.record(r.subjects.message, r.spec, allColumns(r.spec))
		}
		return g.envelope(r.subjects.message+"_envelope", g.record(r.subjects.message, r.spec, allColumns(r.spec)))
	}
	s, head, err := r.schema(r.subjects.value(r.topic), generate)
	if err != nil {
		return nil, err
	}
	e := &avroMessages{head: head}
	row := s
	if mode == Debezium {
		if row, err = e.readEnvelope(s); err != nil {
			return nil, err
		}
	}
	e.fields, err = avroOutCompiler{outputSettings(r.spec.Settings)}.record(row, outColumns(r.spec, allColumns(r.spec)))
	return e, err
}

func (r *avroRegistrar) keys() (*avroMessages, error) {
	g := &avroGenerator{names: map[string]bool{}}
	s, head, err := r.schema(r.subjects.key(r.topic), func() map[string]any { return g.record(r.subjects.keyMessage, r.spec, r.spec.Key) })
	if err != nil {
		return nil, err
	}
	e := &avroMessages{head: head}
	cols := outColumns(r.spec, r.spec.Key)
	if s.kind != avroRecord && len(cols) == 1 { // a bare key, as others have registered it
		w, err := avroOutCompiler{outputSettings(r.spec.Settings)}.out(s, cols[0].typ)
		e.fields = []avroOutField{{name: cols[0].name, at: cols[0].at, out: w}}
		return e, err
	}
	e.fields, err = avroOutCompiler{outputSettings(r.spec.Settings)}.record(s, cols)
	return e, err
}

// schema registers the schema that generate makes, or fetches the newest of the subject.
func (r *avroRegistrar) schema(subject string, generate func() map[string]any) (*avroSchema, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	var s *registry.Schema
	if r.register {
		text, err := json.Marshal(generate())
		if err != nil {
			return nil, nil, err
		}
		id, err := r.client.Register(ctx, subject, "AVRO", string(text))
		if err != nil {
			return nil, nil, err
		}
		s = &registry.Schema{ID: id, Kind: "AVRO", Text: string(text)}
	} else {
		var err error
		if s, err = r.client.Latest(ctx, subject); err != nil {
			return nil, nil, err
		}
	}
	parsed, err := avroOf(s)
	return parsed, binary.BigEndian.AppendUint32([]byte{0}, uint32(s.ID)), err
}

// readEnvelope finds the parts of a change event in a schema, and returns that of the rows.
func (e *avroMessages) readEnvelope(s *avroSchema) (row *avroSchema, err error) {
	if row, err = rowSchema(s, "after"); err != nil {
		return nil, err
	}
	before, err := rowSchema(s, "before")
	if err != nil || before != row {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is not a change event: \"before\" and \"after\" are of different types", s)
	}
	for i := range s.fields {
		f := &s.fields[i]
		role := map[string]byte{"before": 'b', "after": 'a', "op": 'o', "ts_ms": 't'}[f.name]
		out := avroEnvelopeField{role: role, null: nullBranch(f.schema)}
		for k, b := range f.schema.union {
			if b.kind != avroNull {
				out.branch = k
			}
		}
		switch {
		case (role == 'a' || role == 'b') && out.null < 0:
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s is not a change event: %q cannot be null", s, f.name)
		case role == 0 && f.def == nil:
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "field %q of the Avro schema %s has neither a column nor a default", f.name, s.name)
		case role == 0:
			if out.filler, err = appendAvroDefault(nil, f.schema, f.def); err != nil {
				return nil, err
			}
		}
		e.envelope = append(e.envelope, out)
	}
	return row, nil
}
