package codec

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// protoOp is how a node appends a value that has been cut out of a message.
type protoOp uint8

const (
	protoToBool       protoOp = iota
	protoToInt                // whole numbers → integers, within low and top
	protoToFloat              // numbers → floats
	protoToNumeric            // numbers → numeric
	protoToText               // string, bytes → text, checked
	protoToBytea              // bytes, string → bytea
	protoToParsed             // string → whatever the text says
	protoToLabel              // enum → its name
	protoToStamp              // google.protobuf.Timestamp
	protoToSpan               // google.protobuf.Duration
	protoToPaths              // google.protobuf.FieldMask → text
	protoToWrapped            // a wrapper → its value
	protoToPrinted            // anything that has a natural type → its text
	protoToJSON               // any message → jsonb
	protoToScalarJSON         // any scalar → jsonb
	protoToRecord
)

// protoItem is a value cut out of a message: a number, or bytes.
type protoItem struct {
	u uint64
	b []byte
}

// protoNode appends single values of one field as values of one type. It belongs to one decoder.
type protoNode struct {
	op       protoOp
	field    protoreflect.FieldDescriptor
	kind     protoreflect.Kind
	typ      sqltypes.Type
	settings *sqlio.Settings
	file     *protoFile
	low, top int64
	plan     *protoPlan   // of a composite value or wrapper
	vecs     []*delta.Vec // the fields of a composite value
	elem     *protoNode   // of a printed value
	printed  *delta.Vec
	buf      []byte
}

// protoPlan is what to do with the fields of a message.
type protoPlan struct {
	message protoreflect.MessageDescriptor
	file    *protoFile
	fields  []protoField
	numbers []int16                  // small field numbers → fields, −1: unwanted
	more    map[protowire.Number]int // the same for large ones
	missing []protoField             // columns without a field in this schema
	round   uint64                   // counts messages: a field is there if its round is this one
}

// protoField is one wanted field, and what the message at hand has of it.
type protoField struct {
	name   string
	desc   protoreflect.FieldDescriptor
	slot   int // the column, or the field of a composite value
	typ    sqltypes.Type
	node   *protoNode // of the value, item or map value; nil: the field is known only because it replaces others
	key    *protoNode // of a map
	wire   protowire.Type
	whole  bool       // a list or map as one jsonb: raw is what the message has
	vec    *delta.Vec // items on their way into an array or map
	keyVec *delta.Vec
	absent *protoItem // what stands for a field that is not there; nil: NULL
	others []int      // fields of the same oneof, which this one replaces
	next   int        // a further field for the same number; −1: none

	round uint64
	item  protoItem
	items []protoItem
	raw   []byte
}

// protoCompiler makes plans.
type protoCompiler struct {
	settings *sqlio.Settings
	file     *protoFile
}

// wanted is a column, or field of a composite type, that a plan must fill.
type wanted struct {
	name string
	typ  sqltypes.Type
	slot int
}

func wantedFields(t sqltypes.Type) []wanted {
	var out []wanted
	for i, f := range t.Fields() {
		out = append(out, wanted{f.Name, f.Type, i})
	}
	return out
}

func protoMismatch(f protoreflect.FieldDescriptor, t sqltypes.Type) error {
	return sqlerr.New(sqlerr.DatatypeMismatch, "Protobuf field %s of type %s cannot become %s", f.FullName(), protoTypeName(f), t.StructString())
}

func protoTypeName(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	if f.Message() != nil {
		name = string(f.Message().FullName())
	} else if f.Enum() != nil {
		name = string(f.Enum().FullName())
	}
	switch {
	case f.IsMap():
		return "map"
	case f.IsList():
		return "repeated " + name
	}
	return name
}

// protoFieldOf finds the field of m for a name: by the number that the reader's message has under that name, else by
// the name itself, as it is, in JSON's spelling, in another case.
func protoFieldOf(m, reader protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if reader != nil && reader != m {
		if r := protoFieldOf(reader, nil, name); r != nil {
			return m.Fields().ByNumber(r.Number())
		}
	}
	if f := m.Fields().ByName(protoreflect.Name(name)); f != nil {
		return f
	}
	if f := m.Fields().ByJSONName(name); f != nil {
		return f
	}
	for i := range m.Fields().Len() {
		if f := m.Fields().Get(i); lower(string(f.Name())) == lower(name) {
			return f
		}
	}
	return nil
}

// plan makes the plan that fills what is wanted from messages m. reader is the message that the source was created with:
// fields keep their numbers, not their names.
func (c protoCompiler) plan(m, reader protoreflect.MessageDescriptor, want []wanted) (*protoPlan, error) {
	p := &protoPlan{message: m, file: c.file}
	for _, w := range want {
		var asCreated protoreflect.FieldDescriptor
		if reader != nil {
			asCreated = protoFieldOf(reader, nil, w.name)
		}
		f := protoFieldOf(m, reader, w.name)
		gone := f == nil && asCreated != nil
		if gone {
			f = asCreated
		}
		if f == nil {
			continue
		}
		var inner protoreflect.MessageDescriptor
		if asCreated != nil {
			inner = asCreated.Message()
		}
		pf, err := c.field(f, inner, w)
		if err != nil {
			return nil, wrapColumn(w.name, err)
		}
		if gone {
			p.missing = append(p.missing, pf)
		} else {
			p.add(pf)
		}
	}
	p.linkOneofs()
	return p, nil
}

func (p *protoPlan) add(f protoField) {
	const small = 1 << 10
	at, number := len(p.fields), f.desc.Number()
	f.next = p.find(number)
	p.fields = append(p.fields, f)
	if number < small {
		for len(p.numbers) <= int(number) {
			p.numbers = append(p.numbers, -1)
		}
		p.numbers[number] = int16(at)
		return
	}
	if p.more == nil {
		p.more = map[protowire.Number]int{}
	}
	p.more[number] = at
}

// find returns the index of the field with a number, −1 for one that is not wanted.
func (p *protoPlan) find(n protowire.Number) int {
	if uint(n) < uint(len(p.numbers)) {
		return int(p.numbers[n])
	}
	if i, ok := p.more[n]; ok {
		return i
	}
	return -1
}

// linkOneofs lets each field of a oneof replace the others, for the last in a message counts.
func (p *protoPlan) linkOneofs() {
	oneofs := p.message.Oneofs()
	for k := range oneofs.Len() {
		o := oneofs.Get(k)
		if o.IsSynthetic() {
			continue
		}
		var known []int
		for i := range p.fields {
			if p.fields[i].desc.ContainingOneof() == o {
				known = append(known, i)
			}
		}
		if len(known) == 0 {
			continue
		}
		for i := range o.Fields().Len() {
			f := o.Fields().Get(i)
			at := p.find(f.Number())
			if at < 0 {
				p.add(protoField{desc: f, wire: wireOf(f)})
				at = len(p.fields) - 1
			}
			for ; at >= 0; at = p.fields[at].next {
				for _, other := range known {
					if p.fields[other].desc.Number() != f.Number() {
						p.fields[at].others = append(p.fields[at].others, other)
					}
				}
			}
		}
	}
}

func wireOf(f protoreflect.FieldDescriptor) protowire.Type {
	switch f.Kind() {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	}
	return protowire.VarintType
}

// field makes what reads one field into a column. inner is the message of the field as the source was created with.
func (c protoCompiler) field(f protoreflect.FieldDescriptor, inner protoreflect.MessageDescriptor, w wanted) (pf protoField, err error) {
	pf = protoField{name: w.name, desc: f, slot: w.slot, typ: w.typ, wire: wireOf(f)}
	many := f.IsMap() || f.IsList()
	switch {
	case many && w.typ.Kind == sqltypes.KJSONB:
		pf.whole = true
	case f.IsMap():
		if w.typ.Kind != sqltypes.KMap {
			return pf, protoMismatch(f, w.typ)
		}
		kt, vt := w.typ.KeyValue()
		if pf.key, err = c.node(f.MapKey(), nil, kt); err != nil {
			return pf, err
		}
		pf.node, err = c.node(f.MapValue(), nil, vt)
		pf.keyVec, pf.vec = scratchVec(kt), scratchVec(vt)
	case f.IsList():
		if w.typ.Kind != sqltypes.KArray {
			return pf, protoMismatch(f, w.typ)
		}
		pf.node, err = c.node(f, inner, w.typ.ElemType())
		pf.vec = scratchVec(w.typ.ElemType())
	default:
		pf.node, err = c.node(f, inner, w.typ)
		pf.absent = defaultItem(f)
	}
	return pf, err
}

// defaultItem is what a field that is not there stands for: its default, unless its absence can be told from that.
func defaultItem(f protoreflect.FieldDescriptor) *protoItem {
	if f.Message() != nil || f.HasPresence() && !f.HasDefault() {
		return nil
	}
	d := f.Default()
	switch x := d.Interface().(type) {
	case bool:
		if x {
			return &protoItem{u: 1}
		}
	case int32:
		if f.Kind() == protoreflect.Sint32Kind {
			return &protoItem{u: protowire.EncodeZigZag(int64(x))}
		}
		return &protoItem{u: uint64(int64(x))}
	case int64:
		if f.Kind() == protoreflect.Sint64Kind {
			return &protoItem{u: protowire.EncodeZigZag(x)}
		}
		return &protoItem{u: uint64(x)}
	case uint32:
		return &protoItem{u: uint64(x)}
	case uint64:
		return &protoItem{u: x}
	case float32:
		return &protoItem{u: uint64(math.Float32bits(x))}
	case float64:
		return &protoItem{u: math.Float64bits(x)}
	case string:
		return &protoItem{b: []byte(x)}
	case []byte:
		return &protoItem{b: x}
	case protoreflect.EnumNumber:
		return &protoItem{u: uint64(int64(x))}
	}
	return &protoItem{}
}

// node makes what reads single values of f as values of type t. Error: 42804 when no value of f is one of t.
func (c protoCompiler) node(f protoreflect.FieldDescriptor, inner protoreflect.MessageDescriptor, t sqltypes.Type) (*protoNode, error) {
	n := &protoNode{field: f, kind: f.Kind(), typ: t, settings: c.settings, file: c.file}
	var err error
	if f.Message() != nil {
		err = c.messageNode(n, inner, t)
	} else {
		err = c.scalarNode(n, t)
	}
	return n, err
}

func (c protoCompiler) scalarNode(n *protoNode, t sqltypes.Type) error {
	f := n.field
	if t.Kind == sqltypes.KJSONB {
		n.op = protoToScalarJSON
		return nil
	}
	text := t.Kind == sqltypes.KText || t.Kind == sqltypes.KVarchar || t.Kind == sqltypes.KBpchar
	nested := t.Kind == sqltypes.KArray || t.Kind == sqltypes.KRecord || t.Kind == sqltypes.KMap
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		switch {
		case text:
			n.op = protoToText
		case t.Kind == sqltypes.KBytea:
			n.op = protoToBytea
		case nested || f.Kind() == protoreflect.BytesKind:
			return protoMismatch(f, t)
		default:
			n.op = protoToParsed
		}
		return nil
	case protoreflect.EnumKind:
		switch {
		case t.IsString() || t.Kind == sqltypes.KEnum:
			n.op = protoToLabel
			return nil
		case t.IsInteger():
			return c.intNode(n, t)
		}
		return protoMismatch(f, t)
	case protoreflect.BoolKind:
		if t.Kind == sqltypes.KBool {
			n.op = protoToBool
			return nil
		}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		if t.IsInteger() {
			return protoMismatch(f, t)
		}
	}
	switch {
	case text:
		return c.via(n, t)
	case f.Kind() == protoreflect.BoolKind:
	case t.IsInteger():
		return c.intNode(n, t)
	case t.IsFloat():
		n.op = protoToFloat
		return nil
	case t.Kind == sqltypes.KNumeric:
		n.op = protoToNumeric
		return nil
	}
	return protoMismatch(f, t)
}

func (c protoCompiler) intNode(n *protoNode, t sqltypes.Type) error {
	n.op, n.low, n.top = protoToInt, math.MinInt64, math.MaxInt64
	switch t.Kind {
	case sqltypes.KInt2:
		n.low, n.top = math.MinInt16, math.MaxInt16
	case sqltypes.KInt4:
		n.low, n.top = math.MinInt32, math.MaxInt32
	}
	return nil
}

// via reads the value as what it naturally is, and turns the text of that into t.
func (c protoCompiler) via(n *protoNode, t sqltypes.Type) (err error) {
	natural := protoTypes{}.single(n.field)
	n.op, n.printed = protoToPrinted, scratchVec(natural)
	n.elem, err = c.node(n.field, nil, natural)
	return err
}

func (c protoCompiler) messageNode(n *protoNode, inner protoreflect.MessageDescriptor, t sqltypes.Type) (err error) {
	m := n.field.Message()
	switch name := m.FullName(); {
	case t.Kind == sqltypes.KJSONB:
		n.op = protoToJSON
		return nil
	case name == "google.protobuf.Timestamp" && isStamp(t):
		n.op = protoToStamp
		return nil
	case name == "google.protobuf.Duration" && t.Kind == sqltypes.KInterval:
		n.op = protoToSpan
		return nil
	case name == "google.protobuf.FieldMask" && t.IsString():
		n.op = protoToPaths
		return nil
	case isWrapper(m) && t.Kind != sqltypes.KRecord:
		n.op = protoToWrapped
		n.plan, err = c.plan(m, nil, []wanted{{"value", t, 0}})
		return err
	case wellKnown[name].Kind != 0 && wellKnown[name].Kind != sqltypes.KJSONB && t.IsString():
		return c.via(n, t)
	case t.Kind == sqltypes.KRecord && t.HasFields():
		n.op, n.vecs = protoToRecord, scratchVecs(t)
		if n.plan, err = c.plan(m, inner, wantedFields(t)); err == nil && len(n.plan.fields) == 0 {
			err = protoMismatch(n.field, t)
		}
		return err
	}
	return protoMismatch(n.field, t)
}
