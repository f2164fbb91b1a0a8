package codec

import (
	"context"
	"encoding/binary"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// protoOut writes values of one column, or field of a composite value, as a field of a message. NULL leaves the field out.
type protoOut struct {
	name     string
	at       int
	field    protoreflect.FieldDescriptor
	typ      sqltypes.Type
	wire     protowire.Type
	settings *sqlio.Settings
	fields   []*protoOut // of a message
	key      *protoOut   // of a map
	value    *protoOut
}

func protoUnwritable(f protoreflect.FieldDescriptor, t sqltypes.Type) error {
	return sqlerr.New(sqlerr.DatatypeMismatch, "type %s cannot be written as Protobuf field %s of type %s", t.StructString(), f.FullName(), protoTypeName(f))
}

// protoOutFields matches columns with the fields of a message. Error: 42804 when a column has no field.
func protoOutFields(m protoreflect.MessageDescriptor, cols []outColumn, s *sqlio.Settings) ([]*protoOut, error) {
	var out []*protoOut
	for _, c := range cols {
		f := protoFieldOf(m, nil, c.name)
		if f == nil {
			return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Protobuf message %s has no field for column %q", m.FullName(), c.name)
		}
		o, err := newProtoOut(f, c, s)
		if err != nil {
			return nil, wrapColumn(c.name, err)
		}
		out = append(out, o)
	}
	return out, nil
}

func newProtoOut(f protoreflect.FieldDescriptor, c outColumn, s *sqlio.Settings) (*protoOut, error) {
	o := &protoOut{name: c.name, at: c.at, field: f, typ: c.typ, wire: wireOf(f), settings: s}
	switch {
	case f.IsMap():
		if c.typ.Kind != sqltypes.KMap {
			return nil, protoUnwritable(f, c.typ)
		}
		kt, vt := c.typ.KeyValue()
		var err error
		if o.key, err = newProtoOut(f.MapKey(), outColumn{"key", kt, 0}, s); err != nil {
			return nil, err
		}
		o.value, err = newProtoOut(f.MapValue(), outColumn{"value", vt, 0}, s)
		return o, err
	case f.IsList():
		if c.typ.Kind != sqltypes.KArray {
			return nil, protoUnwritable(f, c.typ)
		}
		item := *o
		item.typ = c.typ.ElemType()
		o.value = &item
		return o, item.check(s)
	}
	return o, o.check(s)
}

// check finds out whether single values of the type can be written.
func (o *protoOut) check(s *sqlio.Settings) (err error) {
	t, ok := o.typ, false
	switch k := o.field.Kind(); k {
	case protoreflect.BoolKind:
		ok = t.Kind == sqltypes.KBool
	case protoreflect.StringKind:
		ok = true
	case protoreflect.BytesKind:
		ok = t.Kind == sqltypes.KBytea
	case protoreflect.EnumKind:
		ok = t.IsString() || t.Kind == sqltypes.KEnum || t.IsInteger()
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		ok = t.IsFloat() || t.IsInteger()
	case protoreflect.MessageKind, protoreflect.GroupKind:
		m := o.field.Message()
		switch name := m.FullName(); {
		case name == "google.protobuf.Timestamp":
			ok = isStamp(t)
		case name == "google.protobuf.Duration":
			ok = t.Kind == sqltypes.KInterval
		case isWrapper(m):
			ok = true
			o.fields, err = protoOutFields(m, []outColumn{{"value", t, 0}}, s)
		case t.HasFields():
			ok = true
			var cols []outColumn
			for i, f := range t.Fields() {
				cols = append(cols, outColumn{f.Name, f.Type, i})
			}
			o.fields, err = protoOutFields(m, cols, s)
		}
	default:
		ok = t.IsInteger() || t.Kind == sqltypes.KOid || t.Kind == sqltypes.KNumeric
	}
	if !ok {
		return protoUnwritable(o.field, t)
	}
	return err
}

// append appends the field with value i of v.
func (o *protoOut) append(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	switch {
	case v.IsNull(i):
		return dst, nil
	case o.key != nil:
		return o.appendMap(dst, v.Bytes(i))
	case o.value != nil:
		return o.appendList(dst, v.Bytes(i))
	}
	return o.appendSingle(dst, v, i)
}

func (o *protoOut) appendMap(dst, b []byte) ([]byte, error) {
	keys, values, err := sqlio.ReadMap(o.typ, b)
	if err != nil {
		return nil, err
	}
	kv, vv := scratchVec(o.key.typ), scratchVec(o.value.typ)
	for i := range keys {
		kv.AppendDatum(keys[i])
		vv.AppendDatum(values[i])
	}
	for i := range keys {
		entry, err := o.key.append(nil, kv, i)
		if err != nil {
			return nil, err
		}
		if entry, err = o.value.append(entry, vv, i); err != nil {
			return nil, err
		}
		dst = protowire.AppendBytes(protowire.AppendTag(dst, o.field.Number(), protowire.BytesType), entry)
	}
	return dst, nil
}

func (o *protoOut) appendList(dst, b []byte) ([]byte, error) {
	a, err := sqlio.ReadArray(o.typ, b)
	if err != nil {
		return nil, err
	}
	if a.NDim() > 1 {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "arrays of several dimensions cannot be written as Protobuf")
	}
	if a.HasNulls() {
		return nil, sqlerr.New(sqlerr.NullValueNotAllowed, "a repeated field of Protobuf cannot hold NULL")
	}
	v := scratchVec(a.Elem())
	for _, d := range a.Elems() {
		v.AppendDatum(d)
	}
	for i := range v.Len() {
		if dst, err = o.value.appendSingle(dst, v, i); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendSingle appends one value with its tag.
func (o *protoOut) appendSingle(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	dst = protowire.AppendTag(dst, o.field.Number(), o.wire)
	switch k := o.field.Kind(); k {
	case protoreflect.BoolKind:
		return protowire.AppendVarint(dst, protowire.EncodeBool(v.Bools[i])), nil
	case protoreflect.StringKind:
		if v.Type.IsString() {
			return protowire.AppendBytes(dst, v.Bytes(i)), nil
		}
		return protowire.AppendBytes(dst, sqlio.AppendText(nil, v, i, o.settings)), nil
	case protoreflect.BytesKind:
		return protowire.AppendBytes(dst, v.Bytes(i)), nil
	case protoreflect.FloatKind:
		return protowire.AppendFixed32(dst, math.Float32bits(float32(floatOf(v, i)))), nil
	case protoreflect.DoubleKind:
		return protowire.AppendFixed64(dst, math.Float64bits(floatOf(v, i))), nil
	case protoreflect.EnumKind:
		return o.appendEnum(dst, v, i)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		body, err := o.message(v, i)
		if err != nil {
			return nil, err
		}
		if k == protoreflect.GroupKind {
			return protowire.AppendGroup(dst, o.field.Number(), body), nil
		}
		return protowire.AppendBytes(dst, body), nil
	}
	return o.appendWhole(dst, v, i)
}

func floatOf(v *delta.Vec, i int) float64 {
	if v.Type.Phys() == sqltypes.PhysInt64 {
		return float64(v.Ints[i])
	}
	return v.Floats[i]
}

func (o *protoOut) appendEnum(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	if v.Type.IsInteger() {
		return protowire.AppendVarint(dst, uint64(v.Ints[i])), nil
	}
	text := string(sqlio.AppendText(nil, v, i, o.settings))
	d := o.field.Enum().Values().ByName(protoreflect.Name(text))
	if d == nil {
		return nil, sqlerr.New(sqlerr.InvalidTextRepresentation, "%q is not a value of the Protobuf enum %s", text, o.field.Enum().FullName())
	}
	return protowire.AppendVarint(dst, uint64(int64(d.Number()))), nil
}

// message returns the body of a message.
func (o *protoOut) message(v *delta.Vec, i int) (body []byte, err error) {
	switch {
	case isStamp(o.typ):
		x := v.Ints[i]
		if !datetime.IsFiniteTimestamp(x) || x < math.MinInt64+epochMicros || x > math.MaxInt64-epochMicros {
			return nil, sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp out of range for google.protobuf.Timestamp")
		}
		return secondsAndNanos(x + epochMicros), nil
	case o.typ.Kind == sqltypes.KInterval && o.fields == nil:
		iv := v.Intervals[i]
		if iv.Months != 0 {
			return nil, sqlerr.New(sqlerr.IntervalFieldOverflow, "an interval with months cannot be written as google.protobuf.Duration")
		}
		micros := int64(iv.Days)*86_400_000_000 + iv.Micros
		seconds, rest := micros/1_000_000, micros%1_000_000 // of one sign
		return appendSecondsNanos(seconds, rest*1000), nil
	case isWrapper(o.field.Message()):
		return o.fields[0].append(nil, v, i)
	}
	values, err := sqlio.DecodeRecord(o.typ, v.Bytes(i))
	if err != nil {
		return nil, err
	}
	for _, f := range o.fields {
		if f.at >= len(values) {
			continue
		}
		one := scratchVec(f.typ)
		one.AppendDatum(values[f.at])
		if body, err = f.append(body, one, 0); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// secondsAndNanos writes µs since 1970 as a Timestamp.
func secondsAndNanos(micros int64) []byte {
	seconds := floorDivide(micros, 1_000_000)
	return appendSecondsNanos(seconds, (micros-seconds*1_000_000)*1000)
}

func appendSecondsNanos(seconds, nanos int64) []byte {
	var b []byte
	if seconds != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), uint64(seconds))
	}
	if nanos != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(nanos))
	}
	return b
}

// appendWhole appends a whole number that the field can hold.
func (o *protoOut) appendWhole(dst []byte, v *delta.Vec, i int) ([]byte, error) {
	var x int64
	var u uint64
	fits := true
	if v.Type.Phys() == sqltypes.PhysInt64 {
		x = v.Ints[i]
		u, fits = uint64(x), true
	} else {
		d, err := v.Decs[i].Round(0)
		if err != nil {
			return nil, err
		}
		coef, _, ok := d.ToBig()
		switch {
		case !ok:
			fits = false
		case coef.IsInt64():
			x = coef.Int64()
			u = uint64(x)
		case coef.IsUint64():
			u, x = coef.Uint64(), -1
			fits = o.field.Kind() == protoreflect.Uint64Kind || o.field.Kind() == protoreflect.Fixed64Kind
			if fits {
				return o.number(dst, u), nil
			}
		default:
			fits = false
		}
	}
	switch o.field.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		fits = fits && x >= math.MinInt32 && x <= math.MaxInt32
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		fits = fits && x >= 0 && x <= math.MaxUint32
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		fits = fits && x >= 0
	}
	if !fits {
		return nil, sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%s\" is out of range for Protobuf type %s",
			sqlio.AppendText(nil, v, i, o.settings), o.field.Kind())
	}
	if k := o.field.Kind(); k == protoreflect.Sint32Kind || k == protoreflect.Sint64Kind {
		u = protowire.EncodeZigZag(x)
	}
	return o.number(dst, u), nil
}

func (o *protoOut) number(dst []byte, u uint64) []byte {
	switch o.wire {
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(dst, uint32(u))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(dst, u)
	}
	return protowire.AppendVarint(dst, u)
}

// protoMessages writes rows as Protobuf messages; with a registry, schema and message are named in front.
type protoMessages struct {
	head   []byte
	fields []*protoOut
	// Of a change event: the fields of the message, nil where it has none.
	before, after, op, millis protoreflect.FieldDescriptor
}

// writeRow implements rowWriter.
func (e *protoMessages) writeRow(dst []byte, c *delta.Chunk, row int) ([]byte, error) {
	return e.appendRow(append(dst, e.head...), c, row)
}

func (e *protoMessages) appendRow(dst []byte, c *delta.Chunk, row int) ([]byte, error) {
	var err error
	for _, f := range e.fields {
		if dst, err = f.append(dst, c.Cols[f.at], row); err != nil {
			return nil, wrapEncode(f.name, err)
		}
	}
	return dst, nil
}

// writeEvent implements valueWriter.
func (e *protoMessages) writeEvent(dst []byte, c *delta.Chunk, before, after int, op byte, millis int64) ([]byte, error) {
	dst = append(dst, e.head...)
	for _, part := range []struct {
		field protoreflect.FieldDescriptor
		row   int
	}{{e.before, before}, {e.after, after}} {
		if part.row < 0 {
			continue
		}
		body, err := e.appendRow(nil, c, part.row)
		if err != nil {
			return nil, err
		}
		dst = protowire.AppendBytes(protowire.AppendTag(dst, part.field.Number(), protowire.BytesType), body)
	}
	dst = protowire.AppendBytes(protowire.AppendTag(dst, e.op.Number(), protowire.BytesType), []byte{op})
	if e.millis != nil {
		dst = protowire.AppendVarint(protowire.AppendTag(dst, e.millis.Number(), protowire.VarintType), uint64(millis))
	}
	return dst, nil
}

// newProtoMessages takes the message from the registry's newest schema of the subject, or from a location. A nil key writer
// means that keys are no messages.
func newProtoMessages(spec *connector.SinkSpec, mode Mode) (valueWriter, rowWriter, error) {
	options := map[string]string{}
	for k, v := range spec.Connector.FormatOptions {
		if k != "force_append_only" {
			options[k] = v
		}
	}
	o, err := parseProtoOptions("ENCODE PROTOBUF", options)
	if err != nil {
		return nil, nil, err
	}
	schemas, err := newProtoSchemas(o)
	if err != nil {
		return nil, nil, err
	}
	source := &connector.SourceSpec{Connector: spec.Connector}
	m, head, err := sinkMessage(schemas, o, source, false)
	if err != nil {
		return nil, nil, err
	}
	e := &protoMessages{head: head}
	settings := outputSettings(spec.Settings)
	if mode == Debezium {
		if m, err = e.readEnvelope(m); err != nil {
			return nil, nil, err
		}
	}
	if e.fields, err = protoOutFields(m, outColumns(spec, allColumns(spec)), settings); err != nil {
		return nil, nil, err
	}
	encode := spec.Connector.FormatOptions["key.encode"]
	if o.subjects.keyMessage == "" || len(spec.Key) == 0 || encode != "" && encode != "PROTOBUF" {
		return e, nil, nil
	}
	if m, head, err = sinkMessage(schemas, o, source, true); err != nil {
		return nil, nil, err
	}
	k := &protoMessages{head: head}
	if k.fields, err = protoOutFields(m, outColumns(spec, spec.Key), settings); err != nil {
		return nil, nil, err
	}
	return e, k, nil
}

// sinkMessage finds the message of the values or keys, and what stands in front of each.
func sinkMessage(schemas *protoSchemas, o *protoOptions, spec *connector.SourceSpec, key bool) (protoreflect.MessageDescriptor, []byte, error) {
	name := o.subjects.message
	if key {
		name = o.subjects.keyMessage
	}
	if schemas.client == nil {
		m, err := schemas.files[0].message(name)
		return m, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	latest, err := latestOf(ctx, schemas.client, o.subjects, spec, key)
	if err != nil {
		return nil, nil, err
	}
	f, err := registeredProto(ctx, latest)
	if err != nil {
		return nil, nil, err
	}
	m, err := f.message(name)
	if err != nil {
		return nil, nil, err
	}
	if m.ParentFile().Path() != f.desc.Path() {
		return nil, nil, sqlerr.New(sqlerr.DatatypeMismatch, "Protobuf message %s is not of the registered schema itself", m.FullName())
	}
	var path []int64
	for d := protoreflect.Descriptor(m); ; d = d.Parent() {
		if _, ok := d.(protoreflect.FileDescriptor); ok {
			break
		}
		path = append([]int64{int64(d.Index())}, path...)
	}
	head := binary.BigEndian.AppendUint32([]byte{0}, uint32(latest.ID))
	if len(path) == 1 && path[0] == 0 {
		return m, append(head, 0), nil
	}
	head = binary.AppendVarint(head, int64(len(path)))
	for _, p := range path {
		head = binary.AppendVarint(head, p)
	}
	return m, head, nil
}

// readEnvelope finds the parts of a change event in a message, and returns the message of the rows.
func (e *protoMessages) readEnvelope(m protoreflect.MessageDescriptor) (protoreflect.MessageDescriptor, error) {
	get := func(name string, kinds ...protoreflect.Kind) protoreflect.FieldDescriptor {
		f := m.Fields().ByName(protoreflect.Name(name))
		for _, k := range kinds {
			if f != nil && f.Kind() == k && !f.IsList() {
				return f
			}
		}
		return nil
	}
	e.before, e.after = get("before", protoreflect.MessageKind), get("after", protoreflect.MessageKind)
	e.op, e.millis = get("op", protoreflect.StringKind), get("ts_ms", protoreflect.Int64Kind, protoreflect.Uint64Kind)
	var missing []string
	for i, f := range []protoreflect.FieldDescriptor{e.before, e.after, e.op} {
		if f == nil {
			missing = append(missing, []string{"before", "after", "op"}[i])
		}
	}
	if len(missing) > 0 || e.before.Message() != e.after.Message() {
		return nil, sqlerr.New(sqlerr.DatatypeMismatch, "Protobuf message %s is not a change event", m.FullName()).
			WithDetail("Missing or of another type: %s.", strings.Join(missing, ", ")).
			WithHint("It needs the fields before and after, of one message type, op (string) and, if wanted, ts_ms (int64).")
	}
	return e.after.Message(), nil
}
