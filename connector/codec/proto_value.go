package codec

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func badProto(n int) error {
	return sqlerr.New(sqlerr.InvalidBinaryRepresentation, "Protobuf message is cut short or malformed").WithDetail("%v", protowire.ParseError(n))
}

// scan goes through a message and notes what it has of each wanted field. Of a field that is there twice the last counts,
// messages are merged, items of lists are gathered. The notes alias b.
func (p *protoPlan) scan(b []byte) error {
	p.round++
	for i := 0; i < len(b); {
		tag, n := uint64(b[i]), 1
		if tag >= 0x80 {
			if tag, n = binary.Uvarint(b[i:]); n <= 0 {
				return badProto(-1)
			}
		}
		number, wire := protowire.Number(tag>>3), protowire.Type(tag&7)
		if tag>>3 > uint64(protowire.MaxValidNumber) || number < protowire.MinValidNumber {
			return badProto(-2)
		}
		start := i
		i += n
		at := p.find(number)
		if at < 0 {
			n := protowire.ConsumeFieldValue(number, wire, b[i:])
			if n < 0 {
				return badProto(n)
			}
			i += n
			continue
		}
		var it protoItem
		switch wire {
		case protowire.VarintType:
			if i < len(b) && b[i] < 0x80 {
				it.u, n = uint64(b[i]), 1
			} else {
				it.u, n = protowire.ConsumeVarint(b[i:])
			}
		case protowire.BytesType:
			it.b, n = protowire.ConsumeBytes(b[i:])
		case protowire.Fixed32Type:
			var u uint32
			u, n = protowire.ConsumeFixed32(b[i:])
			it.u = uint64(u)
		case protowire.Fixed64Type:
			it.u, n = protowire.ConsumeFixed64(b[i:])
		case protowire.StartGroupType:
			it.b, n = protowire.ConsumeGroup(number, b[i:])
		default:
			n = -4 // a reserved wire type, or the end of a group that has not begun
		}
		if n < 0 {
			return badProto(n)
		}
		i += n
		for ; at >= 0; at = p.fields[at].next {
			if err := p.note(&p.fields[at], it, wire, b[start:i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// note keeps a value for its field.
func (p *protoPlan) note(f *protoField, it protoItem, wire protowire.Type, raw []byte) error {
	first := f.round != p.round
	f.round = p.round
	for _, o := range f.others {
		p.fields[o].round = 0
	}
	switch {
	case f.whole:
		if first {
			f.raw = f.raw[:0]
		}
		f.raw = append(f.raw, raw...)
		return nil
	case f.vec != nil:
		if first {
			f.items = f.items[:0]
		}
		if wire == protowire.BytesType && f.wire != protowire.BytesType {
			return f.unpack(it.b)
		}
		f.items = append(f.items, it)
	case !first && f.desc.Message() != nil:
		f.item.b = slices.Concat(f.item.b, it.b) // which merges them
	default:
		f.item = it
	}
	if wire != f.wire {
		return sqlerr.New(sqlerr.InvalidBinaryRepresentation, "field %d of the Protobuf message has wire type %d, but type %s", f.desc.Number(), wire, protoTypeName(f.desc))
	}
	return nil
}

// unpack takes a packed list of numbers apart.
func (f *protoField) unpack(b []byte) error {
	for len(b) > 0 {
		var u uint64
		var n int
		switch f.wire {
		case protowire.VarintType:
			u, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var w uint32
			w, n = protowire.ConsumeFixed32(b)
			u = uint64(w)
		case protowire.Fixed64Type:
			u, n = protowire.ConsumeFixed64(b)
		default:
			n = -1
		}
		if n < 0 {
			return badProto(n)
		}
		b = b[n:]
		f.items = append(f.items, protoItem{u: u})
	}
	return nil
}

// append appends what the message at hand has of the field.
func (p *protoPlan) append(f *protoField, v *delta.Vec) error {
	here := f.round == p.round
	switch {
	case f.whole:
		return p.appendWhole(f, here, v)
	case f.vec != nil:
		if !here {
			f.items = f.items[:0]
		}
		return f.appendItems(v)
	case here:
		return f.node.append(f.item, v)
	case f.absent != nil:
		return f.node.append(*f.absent, v)
	}
	v.AppendNull()
	return nil
}

func (f *protoField) appendItems(v *delta.Vec) error {
	truncate(f.vec, 0)
	if f.key != nil {
		truncate(f.keyVec, 0)
		for _, it := range f.items {
			if err := f.appendEntry(it.b); err != nil {
				return err
			}
		}
		b, err := makeMap(f.typ, f.keyVec, f.vec)
		if err == nil {
			v.AppendBytes(b)
		}
		return err
	}
	for _, it := range f.items {
		if err := f.node.append(it, f.vec); err != nil {
			return err
		}
	}
	elems := make([]sqltypes.Datum, f.vec.Len())
	for i := range elems {
		elems[i] = f.vec.Datum(i)
	}
	v.AppendBytes(sqlio.MakeArray(f.typ, elems))
	return nil
}

// appendEntry reads an entry of a map, a message of key and value; what is not there has its default.
func (f *protoField) appendEntry(b []byte) error {
	var key, value protoItem
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return badProto(n)
		}
		b = b[n:]
		to, node := &key, f.key
		if number == 2 {
			to, node = &value, f.node
		}
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return badProto(n)
		}
		if number <= 2 && wire == wireOf(node.field) {
			switch wire {
			case protowire.VarintType:
				to.u, _ = protowire.ConsumeVarint(b)
			case protowire.Fixed32Type:
				to.u = uint64(binary.LittleEndian.Uint32(b))
			case protowire.Fixed64Type:
				to.u = binary.LittleEndian.Uint64(b)
			case protowire.BytesType:
				to.b, _ = protowire.ConsumeBytes(b)
			}
		}
		b = b[n:]
	}
	if err := f.key.append(key, f.keyVec); err != nil {
		return err
	}
	return f.node.append(value, f.vec)
}

// append appends one value.
func (n *protoNode) append(it protoItem, v *delta.Vec) error {
	switch n.op {
	case protoToBool:
		v.AppendBool(it.u != 0)
		return nil
	case protoToInt:
		x, ok := n.whole(it.u)
		if !ok || x < n.low || x > n.top {
			return sqlerr.New(sqlerr.NumericValueOutOfRange, "value \"%s\" is out of range for type %s", n.wholeText(it.u), n.typ)
		}
		v.AppendInt(x)
		return nil
	case protoToText:
		if err := checkText(it.b); err != nil {
			return err
		}
		v.AppendBytes(it.b)
	case protoToBytea:
		v.AppendBytes(it.b)
	case protoToFloat:
		f := n.float(it.u)
		if n.typ.Kind == sqltypes.KFloat4 {
			f = float64(float32(f))
		}
		v.AppendFloat(f)
	case protoToNumeric:
		if err := n.appendNumeric(it.u, v); err != nil {
			return err
		}
	case protoToStamp:
		x, err := stampOf(it.b)
		if err != nil {
			return err
		}
		v.AppendInt(x)
	case protoToSpan:
		x, err := spanOf(it.b)
		if err != nil {
			return err
		}
		v.AppendInterval(datetime.Interval{Micros: x})
	default:
		return n.appendSlow(it, v)
	}
	if n.typ.Mod != 0 {
		return applyTypmod(v, n.typ)
	}
	return nil
}

func (n *protoNode) appendSlow(it protoItem, v *delta.Vec) error {
	switch n.op {
	case protoToParsed:
		return sqlio.AppendParsed(v, it.b, n.settings)
	case protoToLabel:
		return sqlio.AppendParsed(v, n.label(it.u), n.settings)
	case protoToPaths, protoToJSON, protoToScalarJSON:
		return n.appendDynamic(it, v)
	case protoToWrapped:
		if err := n.plan.scan(it.b); err != nil {
			return err
		}
		return n.plan.append(&n.plan.fields[0], v)
	case protoToPrinted:
		truncate(n.printed, 0)
		if err := n.elem.append(it, n.printed); err != nil {
			return err
		}
		n.buf = appendCastText(n.buf[:0], n.printed, n.settings)
		return sqlio.AppendParsed(v, n.buf, n.settings)
	}
	return n.appendRecord(it.b, v)
}

// appendCastText appends the only value of v as the cast to text prints it.
func appendCastText(dst []byte, v *delta.Vec, s *sqlio.Settings) []byte {
	if v.Type.Kind == sqltypes.KBool {
		return strconv.AppendBool(dst, v.Bools[0])
	}
	return sqlio.AppendText(dst, v, 0, s)
}

func (n *protoNode) appendRecord(b []byte, v *delta.Vec) error {
	if err := n.plan.scan(b); err != nil {
		return err
	}
	values := make([]sqltypes.Datum, len(n.vecs))
	for _, list := range [][]protoField{n.plan.fields, n.plan.missing} {
		for i := range list {
			f := &list[i]
			if f.node == nil && !f.whole {
				continue
			}
			vec := n.vecs[f.slot]
			truncate(vec, 0)
			if err := n.plan.append(f, vec); err != nil {
				return err
			}
			values[f.slot] = vec.Datum(0)
		}
	}
	v.AppendBytes(sqlio.EncodeRecord(n.typ, values))
	return nil
}

// whole reads a whole number; not ok for one beyond int64.
func (n *protoNode) whole(u uint64) (x int64, ok bool) {
	switch n.kind {
	case protoreflect.Int32Kind, protoreflect.EnumKind, protoreflect.Sfixed32Kind:
		return int64(int32(u)), true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return int64(uint32(u)), true
	case protoreflect.Sint32Kind:
		return protowire.DecodeZigZag(u & math.MaxUint32), true
	case protoreflect.Sint64Kind:
		return protowire.DecodeZigZag(u), true
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return int64(u), u <= math.MaxInt64
	}
	return int64(u), true
}

func (n *protoNode) wholeText(u uint64) string {
	if x, ok := n.whole(u); ok {
		return strconv.FormatInt(x, 10)
	}
	return strconv.FormatUint(u, 10)
}

func (n *protoNode) float(u uint64) float64 {
	switch n.kind {
	case protoreflect.FloatKind:
		return float64(math.Float32frombits(uint32(u)))
	case protoreflect.DoubleKind:
		return math.Float64frombits(u)
	}
	if x, ok := n.whole(u); ok {
		return float64(x)
	}
	return float64(u)
}

func (n *protoNode) appendNumeric(u uint64, v *delta.Vec) error {
	if n.kind == protoreflect.FloatKind || n.kind == protoreflect.DoubleKind {
		t := sqltypes.Float8
		if n.kind == protoreflect.FloatKind {
			t = sqltypes.Float4
		}
		n.buf = sqlio.AppendTextDatum(n.buf[:0], t, n.float(u), n.settings)
		d, err := numeric.ParseBytes(n.buf)
		if err == nil {
			v.AppendDec(d)
		}
		return err
	}
	if x, ok := n.whole(u); ok {
		v.AppendDec(numeric.FromInt64(x))
	} else {
		v.AppendDec(numeric.FromBig(new(big.Int).SetUint64(u), 0))
	}
	return nil
}

// label returns the name of an enum's value, or the number of one without a name.
func (n *protoNode) label(u uint64) []byte {
	if d := n.field.Enum().Values().ByNumber(protoreflect.EnumNumber(int32(u))); d != nil {
		n.buf = append(n.buf[:0], d.Name()...)
		return n.buf
	}
	n.buf = strconv.AppendInt(n.buf[:0], int64(int32(u)), 10)
	return n.buf
}

// secondsNanos reads the two fields of Timestamp and Duration.
func secondsNanos(b []byte) (seconds, nanos int64, err error) {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, 0, badProto(n)
		}
		b = b[n:]
		if wire != protowire.VarintType || number > 2 {
			if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
				return 0, 0, badProto(n)
			}
			b = b[n:]
			continue
		}
		u, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return 0, 0, badProto(n)
		}
		b = b[n:]
		if number == 1 {
			seconds = int64(u)
		} else {
			nanos = int64(int32(u))
		}
	}
	return seconds, nanos, nil
}

// stampOf reads a Timestamp as µs since 2000.
func stampOf(b []byte) (int64, error) {
	seconds, nanos, err := secondsNanos(b)
	if err != nil {
		return 0, err
	}
	if seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999_999_999 {
		return 0, sqlerr.New(sqlerr.DatetimeFieldOverflow, "timestamp out of range: %d seconds, %d nanoseconds", seconds, nanos)
	}
	return seconds*1_000_000 + nanos/1000 - epochMicros, nil
}

// spanOf reads a Duration as µs.
func spanOf(b []byte) (int64, error) {
	seconds, nanos, err := secondsNanos(b)
	if err != nil {
		return 0, err
	}
	if seconds < -315_576_000_000 || seconds > 315_576_000_000 || nanos < -999_999_999 || nanos > 999_999_999 {
		return 0, sqlerr.New(sqlerr.IntervalFieldOverflow, "interval out of range: %d seconds, %d nanoseconds", seconds, nanos)
	}
	return seconds*1_000_000 + nanos/1000, nil
}
