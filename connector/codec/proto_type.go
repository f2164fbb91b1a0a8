package codec

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

// protoTypes derives the types of columns from messages.
type protoTypes struct {
	mapsAsJSON bool
	open       []protoreflect.FullName // messages that are being looked at
}

// columns returns the fields of a message as columns.
func (t protoTypes) columns(m protoreflect.MessageDescriptor) []catalog.Column {
	t.open = append(t.open, m.FullName())
	var out []catalog.Column
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		out = append(out, catalog.Column{Name: string(f.Name()), Type: t.of(f)})
	}
	return out
}

// of returns the type that a field has unless a column says otherwise.
func (t protoTypes) of(f protoreflect.FieldDescriptor) sqltypes.Type {
	switch {
	case f.IsMap() && t.mapsAsJSON:
		return sqltypes.JSONB
	case f.IsMap():
		return sqltypes.MapOf(t.single(f.MapKey()), t.single(f.MapValue()))
	case f.IsList():
		return sqltypes.ArrayOf(t.single(f))
	}
	return t.single(f)
}

var protoPlainTypes = map[protoreflect.Kind]sqltypes.Type{
	protoreflect.BoolKind: sqltypes.Bool, protoreflect.EnumKind: sqltypes.Varchar,
	protoreflect.Int32Kind: sqltypes.Int4, protoreflect.Sint32Kind: sqltypes.Int4, protoreflect.Sfixed32Kind: sqltypes.Int4,
	protoreflect.Uint32Kind: sqltypes.Int8, protoreflect.Fixed32Kind: sqltypes.Int8,
	protoreflect.Int64Kind: sqltypes.Int8, protoreflect.Sint64Kind: sqltypes.Int8, protoreflect.Sfixed64Kind: sqltypes.Int8,
	protoreflect.Uint64Kind: sqltypes.Numeric, protoreflect.Fixed64Kind: sqltypes.Numeric,
	protoreflect.FloatKind: sqltypes.Float4, protoreflect.DoubleKind: sqltypes.Float8,
	protoreflect.StringKind: sqltypes.Varchar, protoreflect.BytesKind: sqltypes.Bytea,
}

// wellKnown are the messages that mean a value of their own. Wrappers are told by isWrapper.
var wellKnown = map[protoreflect.FullName]sqltypes.Type{
	"google.protobuf.Timestamp": sqltypes.Timestamptz, "google.protobuf.Duration": sqltypes.IntervalT,
	"google.protobuf.Struct": sqltypes.JSONB, "google.protobuf.Value": sqltypes.JSONB, "google.protobuf.ListValue": sqltypes.JSONB,
	"google.protobuf.Any": sqltypes.JSONB, "google.protobuf.FieldMask": sqltypes.Varchar,
}

// isWrapper reports whether a message is one of google/protobuf/wrappers.proto: an optional value.
func isWrapper(m protoreflect.MessageDescriptor) bool {
	return m.ParentFile().Path() == "google/protobuf/wrappers.proto" && m.Fields().Len() == 1
}

// single returns the type of one value of a field. A message within itself is jsonb, and so is one without fields.
func (t protoTypes) single(f protoreflect.FieldDescriptor) sqltypes.Type {
	m := f.Message()
	if m == nil {
		return protoPlainTypes[f.Kind()]
	}
	if w, ok := wellKnown[m.FullName()]; ok {
		return w
	}
	if isWrapper(m) {
		return protoPlainTypes[m.Fields().Get(0).Kind()]
	}
	for _, o := range t.open {
		if o == m.FullName() {
			return sqltypes.JSONB
		}
	}
	if m.Fields().Len() == 0 {
		return sqltypes.JSONB
	}
	t.open = append(t.open[:len(t.open):len(t.open)], m.FullName())
	var fields []sqltypes.RowField
	for i := range m.Fields().Len() {
		g := m.Fields().Get(i)
		fields = append(fields, sqltypes.RowField{Name: string(g.Name()), Type: t.of(g)})
	}
	return sqltypes.StructOf(fields)
}
