package codec

import (
	"encoding/hex"
	"math/big"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
)

// maxProtoDepth bounds messages within messages that become jsonb.
const maxProtoDepth = 100

// parse reads a message whose fields no column has of its own. NB: the library panics at some malformed maps.
func (f *protoFile) parse(m protoreflect.MessageDescriptor, b []byte) (msg protoreflect.Message, err error) {
	defer func() {
		if recover() != nil {
			err = badProto(-1)
		}
	}()
	msg = dynamicpb.NewMessage(m)
	o := proto.UnmarshalOptions{AllowPartial: true, Resolver: f.types, RecursionLimit: maxProtoDepth}
	if err := o.Unmarshal(b, msg.Interface()); err != nil {
		return nil, sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Protobuf message %s is cut short or malformed", m.FullName()).WithDetail("%v", err)
	}
	return msg, nil
}

// appendDynamic appends a value by way of Protobuf's reflection.
func (n *protoNode) appendDynamic(it protoItem, v *delta.Vec) error {
	var b jsonb.Builder
	b.Reset()
	if n.op == protoToScalarJSON {
		if err := n.scalarJSON(&b, it); err != nil {
			return err
		}
	} else {
		msg, err := n.file.parse(n.field.Message(), it.b)
		if err != nil {
			return err
		}
		if n.op == protoToPaths {
			v.AppendString(strings.Join(paths(msg), ","))
			return nil
		}
		if err := n.file.appendMessage(&b, msg, 0); err != nil {
			return err
		}
	}
	v.Data = b.AppendTo(v.Data)
	v.EndRow()
	return nil
}

func (n *protoNode) scalarJSON(b *jsonb.Builder, it protoItem) error {
	switch n.kind {
	case protoreflect.BoolKind:
		b.Bool(it.u != 0)
	case protoreflect.EnumKind:
		b.StringBytes(n.label(it.u))
	case protoreflect.StringKind:
		if err := checkText(it.b); err != nil {
			return err
		}
		b.StringBytes(it.b)
	case protoreflect.BytesKind:
		b.StringBytes(hex.AppendEncode([]byte(`\x`), it.b))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		appendJSONFloat(b, n.float(it.u), n.kind == protoreflect.FloatKind)
	default:
		if x, ok := n.whole(it.u); ok {
			b.Int(x)
		} else {
			b.Numeric(numeric.FromBig(new(big.Int).SetUint64(it.u), 0))
		}
	}
	return nil
}

// appendWhole appends a list or map as one document.
func (p *protoPlan) appendWhole(f *protoField, here bool, v *delta.Vec) error {
	raw := f.raw
	if !here {
		raw = nil
	}
	msg, err := p.file.parse(p.message, raw)
	if err != nil {
		return err
	}
	var b jsonb.Builder
	b.Reset()
	if err := p.file.appendField(&b, f.desc, msg.Get(f.desc), 0); err != nil {
		return err
	}
	v.Data = b.AppendTo(v.Data)
	v.EndRow()
	return nil
}

// appendMessage appends a message as an object of its fields, under their names in the schema; fields whose absence can
// be told are left out when they are absent. Messages with a meaning of their own become what they mean.
func (f *protoFile) appendMessage(b *jsonb.Builder, m protoreflect.Message, depth int) error {
	if depth > maxProtoDepth {
		return sqlerr.New(sqlerr.StatementTooComplex, "Protobuf message is nested too deeply")
	}
	d := m.Descriptor()
	if done, err := f.appendWellKnown(b, m, depth); done || err != nil {
		return err
	}
	b.BeginObject()
	if err := f.appendFields(b, m, d, depth); err != nil {
		return err
	}
	b.EndObject()
	return nil
}

func (f *protoFile) appendFields(b *jsonb.Builder, m protoreflect.Message, d protoreflect.MessageDescriptor, depth int) error {
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		if fd.HasPresence() && !m.Has(fd) {
			continue
		}
		b.Key(string(fd.Name()))
		if err := f.appendField(b, fd, m.Get(fd), depth); err != nil {
			return err
		}
	}
	return nil
}

func (f *protoFile) appendField(b *jsonb.Builder, fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	switch {
	case fd.IsMap():
		b.BeginObject()
		var err error
		v.Map().Range(func(k protoreflect.MapKey, x protoreflect.Value) bool {
			if err = checkText([]byte(k.String())); err == nil {
				b.Key(k.String())
				err = f.appendSingle(b, fd.MapValue(), x, depth)
			}
			return err == nil
		})
		if err != nil {
			return err
		}
		b.EndObject()
		return nil
	case fd.IsList():
		b.BeginArray()
		for i := range v.List().Len() {
			if err := f.appendSingle(b, fd, v.List().Get(i), depth); err != nil {
				return err
			}
		}
		b.EndArray()
		return nil
	}
	return f.appendSingle(b, fd, v, depth)
}

func (f *protoFile) appendSingle(b *jsonb.Builder, fd protoreflect.FieldDescriptor, v protoreflect.Value, depth int) error {
	switch x := v.Interface().(type) {
	case bool:
		b.Bool(x)
	case int32, int64:
		b.Int(v.Int())
	case uint32, uint64:
		b.Numeric(numeric.FromBig(new(big.Int).SetUint64(v.Uint()), 0))
	case float32:
		appendJSONFloat(b, float64(x), true)
	case float64:
		appendJSONFloat(b, x, false)
	case string:
		if err := checkText([]byte(x)); err != nil {
			return err
		}
		b.String(x)
	case []byte:
		b.StringBytes(hex.AppendEncode([]byte(`\x`), x))
	case protoreflect.EnumNumber:
		n := protoNode{field: fd}
		b.StringBytes(n.label(uint64(int64(x))))
	case protoreflect.Message:
		return f.appendMessage(b, x, depth+1)
	}
	return nil
}

// appendWellKnown appends a message of Protobuf's own; done is false for others.
func (f *protoFile) appendWellKnown(b *jsonb.Builder, m protoreflect.Message, depth int) (done bool, err error) {
	fields := m.Descriptor().Fields()
	get := func(name protoreflect.Name) protoreflect.Value { return m.Get(fields.ByName(name)) }
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		text, err := protojson.Marshal(m.Interface())
		if err != nil {
			return true, sqlerr.New(sqlerr.DatetimeFieldOverflow, "date/time field value out of range").WithDetail("%v", err)
		}
		b.String(strings.Trim(string(text), `"`))
	case "google.protobuf.FieldMask":
		b.String(strings.Join(paths(m), ","))
	case "google.protobuf.Struct":
		return true, f.appendField(b, fields.ByName("fields"), get("fields"), depth)
	case "google.protobuf.ListValue":
		return true, f.appendField(b, fields.ByName("values"), get("values"), depth)
	case "google.protobuf.Value":
		kind := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind"))
		if kind == nil || kind.Name() == "null_value" {
			b.Null()
			return true, nil
		}
		return true, f.appendSingle(b, kind, m.Get(kind), depth)
	case "google.protobuf.Any":
		return true, f.appendAny(b, get("type_url").String(), get("value").Bytes(), depth)
	default:
		if !isWrapper(m.Descriptor()) {
			return false, nil
		}
		return true, f.appendSingle(b, fields.Get(0), m.Get(fields.Get(0)), depth)
	}
	return true, nil
}

func paths(m protoreflect.Message) []string {
	list := m.Get(m.Descriptor().Fields().ByName("paths")).List()
	var out []string
	for i := range list.Len() {
		out = append(out, strings.ToValidUTF8(strings.ReplaceAll(list.Get(i).String(), "\x00", "\uFFFD"), "\uFFFD"))
	}
	return out
}

// appendAny appends a message of any type with the type's address as "@type", as Protobuf's own JSON has it; a type that the
// schema does not have leaves the bytes.
func (f *protoFile) appendAny(b *jsonb.Builder, address string, value []byte, depth int) error {
	if err := checkText([]byte(address)); err != nil {
		return err
	}
	b.BeginObject()
	b.Key("@type")
	b.String(address)
	if t, err := f.types.FindMessageByURL(address); err != nil {
		b.Key("value")
		b.StringBytes(hex.AppendEncode([]byte(`\x`), value))
	} else if m, err := f.parse(t.Descriptor(), value); err != nil {
		return err
	} else if _, own := wellKnown[m.Descriptor().FullName()]; own || isWrapper(m.Descriptor()) {
		b.Key("value")
		if err := f.appendMessage(b, m, depth+1); err != nil {
			return err
		}
	} else if depth > maxProtoDepth {
		return sqlerr.New(sqlerr.StatementTooComplex, "Protobuf message is nested too deeply")
	} else if err := f.appendFields(b, m, m.Descriptor(), depth+1); err != nil {
		return err
	}
	b.EndObject()
	return nil
}
