package codec

import (
	"math"
	"strings"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// avroOp is how a node reads a value and appends it.
type avroOp uint8

const (
	avroToNull     avroOp = iota
	avroToBool            // boolean
	avroToInt             // int, long → integers, within low and top
	avroToFloat           // int, long, float, double → floats
	avroToNumeric         // int, long, float, double → numeric
	avroToScaled          // int, long → dates and times: n*mul/div-bias, within low and top
	avroToSpan            // int, long → interval, n*mul/div
	avroToText            // string, bytes → text, checked
	avroToBytea           // bytes, string, fixed → bytea
	avroToDecimal         // bytes, fixed → numeric
	avroToVariable        // VariableScaleDecimal → numeric
	avroToUUID            // fixed(16) → uuid
	avroToInterval        // fixed(12) → interval
	avroToParsed          // string → whatever the text says
	avroToLabel           // enum → text
	avroToPrinted         // anything that has a natural type → its text
	avroToJSONText        // string → jsonb by its contents
	avroToJSON            // anything → jsonb
	avroToOption          // a union of null and another
	avroToUnion           // any other union
	avroToArray
	avroToMap
	avroToRecord
)

// avroNode appends the values of one schema as values of one type. The tree of nodes mirrors the type; below jsonb
// the schema itself is followed. It belongs to one decoder.
type avroNode struct {
	op       avroOp
	schema   *avroSchema
	typ      sqltypes.Type
	settings *sqlio.Settings
	low, top int64
	mul, div int64
	bias     int64
	null     int        // the branch of an option that is null
	elem     *avroNode  // of an array, option (the other branch), map (values) or printed value
	parts    []avroPart // of a record, in the order of the schema, or union, by branch
	fields   []*delta.Vec
	items    *delta.Vec // elements on their way into an array
	keys     *delta.Vec
	buf      []byte
}

// avroPart is a field of a record or a branch of a union on its way into a composite value.
type avroPart struct {
	schema *avroSchema
	node   *avroNode // nil: not wanted
	at     int       // the field of the composite
}

// avroCompiler makes nodes.
type avroCompiler struct{ settings *sqlio.Settings }

// node makes the node that reads values of s into columns of type t. Error: 42804 when no value of s is one of t.
func (c avroCompiler) node(s *avroSchema, t sqltypes.Type) (*avroNode, error) {
	n := &avroNode{schema: s, typ: t, settings: c.settings}
	err := c.fill(n, s, t)
	return n, err
}

func avroMismatch(s *avroSchema, t sqltypes.Type) error {
	return sqlerr.New(sqlerr.DatatypeMismatch, "Avro type %s cannot become %s", s, t.StructString())
}

func (c avroCompiler) fill(n *avroNode, s *avroSchema, t sqltypes.Type) (err error) {
	m := s.sense()
	switch {
	case s.kind == avroNull:
		n.op = avroToNull
		return nil
	case s.kind == avroUnion:
		return c.unionNode(n, s, t)
	case t.Kind == sqltypes.KJSONB && m.meaning == jsonText:
		n.op = avroToJSONText
		return nil
	case t.Kind == sqltypes.KJSONB:
		n.op = avroToJSON
		return nil
	case m.meaning != plainValue:
		if ok, err := c.senseNode(n, s, m, t); ok || err != nil {
			return err
		}
	}
	return c.plainNode(n, s, t)
}

// senseNode reads a value by its logical type; not ok when the column's type wants the bare one.
func (c avroCompiler) senseNode(n *avroNode, s *avroSchema, m sense, t sqltypes.Type) (ok bool, err error) {
	n.mul, n.div = m.mul, m.div
	switch m.meaning {
	case dateDays:
		if t.Kind == sqltypes.KDate {
			n.op, n.mul, n.div, n.bias, n.low, n.top = avroToScaled, 1, 1, epochDays, -2451545, math.MaxInt32-epochDays
			return true, nil
		}
		if isStamp(t) {
			n.op, n.mul, n.div, n.bias, n.low, n.top = avroToScaled, 86_400_000_000, 1, epochMicros, minTimestamp, endTimestamp-1
			return true, nil
		}
	case timeScaled:
		if t.Kind == sqltypes.KTime {
			n.op, n.low, n.top = avroToScaled, 0, 86_400_000_000
			return true, nil
		}
	case stampScaled:
		if isStamp(t) {
			n.op, n.bias, n.low, n.top = avroToScaled, epochMicros, minTimestamp, endTimestamp-1
			return true, nil
		}
		if t.Kind == sqltypes.KDate {
			n.op, n.div, n.bias, n.low, n.top = avroToScaled, 86_400_000_000*m.div, epochDays, -2451545, math.MaxInt32-epochDays
			return true, nil
		}
	case spanScaled:
		n.op = avroToSpan
		return t.Kind == sqltypes.KInterval, nil
	case decimalBytes:
		if t.Kind == sqltypes.KNumeric {
			n.op = avroToDecimal
			return true, nil
		}
		if t.Kind == sqltypes.KBytea {
			return false, nil
		}
		return true, c.via(n, s, m, t)
	case scaledDecimal:
		if t.Kind == sqltypes.KNumeric {
			n.op = avroToVariable
			return true, nil
		}
	case uuidText:
		if s.kind == avroFixed && t.Kind == sqltypes.KUUID {
			n.op = avroToUUID
			return true, nil
		}
		if s.kind == avroString || t.Kind == sqltypes.KBytea {
			return false, nil
		}
	case spanFixed:
		n.op = avroToInterval
		return t.Kind == sqltypes.KInterval, nil
	}
	if t.IsString() && s.kind != avroString {
		return true, c.via(n, s, m, t)
	}
	return false, nil
}

func isStamp(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KTimestamp || t.Kind == sqltypes.KTimestamptz
}

// via reads the value as what it means, and turns the text of that into t.
func (c avroCompiler) via(n *avroNode, s *avroSchema, m sense, t sqltypes.Type) error {
	n.op = avroToPrinted
	var err error
	n.elem, err = c.node(s, m.typ)
	n.items = scratchVec(m.typ)
	return err
}

func (c avroCompiler) plainNode(n *avroNode, s *avroSchema, t sqltypes.Type) error {
	switch s.kind {
	case avroBoolean:
		if t.Kind == sqltypes.KBool {
			n.op = avroToBool
			return nil
		}
	case avroInt, avroLong, avroFloat, avroDouble:
		return c.numberNode(n, s, t)
	case avroString:
		switch {
		case t.Kind == sqltypes.KText, t.Kind == sqltypes.KVarchar, t.Kind == sqltypes.KBpchar:
			n.op = avroToText
		case t.Kind == sqltypes.KBytea:
			n.op = avroToBytea
		case t.Kind == sqltypes.KArray, t.Kind == sqltypes.KRecord, t.Kind == sqltypes.KMap:
			return avroMismatch(s, t)
		default:
			n.op = avroToParsed
		}
		return nil
	case avroBytes, avroFixed:
		switch {
		case t.Kind == sqltypes.KBytea:
			n.op = avroToBytea
			return nil
		case t.IsString():
			n.op = avroToText
			return nil
		case s.kind == avroFixed && s.size == 16 && t.Kind == sqltypes.KUUID:
			n.op = avroToUUID
			return nil
		}
	case avroEnum:
		if t.IsString() || t.Kind == sqltypes.KEnum {
			n.op = avroToLabel
			return nil
		}
	case avroArray:
		return c.arrayNode(n, s, t)
	case avroMap:
		return c.mapNode(n, s, t)
	case avroRecord:
		return c.recordNode(n, s, t)
	}
	if s.kind == avroBoolean && t.IsString() {
		return c.via(n, s, sense{typ: sqltypes.Bool}, t)
	}
	return avroMismatch(s, t)
}

func (c avroCompiler) numberNode(n *avroNode, s *avroSchema, t sqltypes.Type) error {
	whole := s.kind == avroInt || s.kind == avroLong
	switch {
	case t.IsInteger() && whole:
		n.op, n.low, n.top = avroToInt, math.MinInt64, math.MaxInt64
		switch t.Kind {
		case sqltypes.KInt2:
			n.low, n.top = math.MinInt16, math.MaxInt16
		case sqltypes.KInt4:
			n.low, n.top = math.MinInt32, math.MaxInt32
		}
	case t.IsFloat():
		n.op = avroToFloat
	case t.Kind == sqltypes.KNumeric:
		n.op = avroToNumeric
	case t.IsString():
		return c.via(n, s, sense{typ: avroPlainTypes[s.kind]}, t)
	default:
		return avroMismatch(s, t)
	}
	return nil
}

func (c avroCompiler) unionNode(n *avroNode, s *avroSchema, t sqltypes.Type) (err error) {
	if b, ok := s.nullable(); ok {
		n.op, n.null = avroToOption, -1
		for i := range s.union {
			if s.union[i].kind == avroNull {
				n.null = i
			}
		}
		n.elem, err = c.node(b, t)
		return err
	}
	n.op = avroToUnion
	composite := t.Kind == sqltypes.KRecord && t.HasFields()
	if composite {
		n.fields = scratchVecs(t)
	}
	fits := 0
	for i, b := range s.union {
		p := avroPart{schema: b, at: -1}
		switch {
		case b.kind == avroNull:
		case composite && fieldNamed(t, s.branchName(i), nil) >= 0:
			p.at = fieldNamed(t, s.branchName(i), nil)
			if p.node, err = c.node(b, t.Fields()[p.at].Type); err != nil {
				return err
			}
			fits++
		default:
			// One branch of several may be what the column is for; the others are errors when they come.
			if p.node, err = c.node(b, t); err != nil {
				p.node = nil
			} else {
				fits++
			}
		}
		n.parts = append(n.parts, p)
	}
	if fits == 0 {
		return avroMismatch(s, t)
	}
	return nil
}

func scratchVecs(t sqltypes.Type) []*delta.Vec {
	var out []*delta.Vec
	for _, f := range t.Fields() {
		out = append(out, scratchVec(f.Type))
	}
	return out
}

// fieldNamed finds a field of a composite type as a column is found: by its name, by its name in another case, by
// one of the other names that the schema has for it. −1: none.
func fieldNamed(t sqltypes.Type, name string, aliases []string) int {
	fields := t.Fields()
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	for i := range fields {
		if strings.EqualFold(fields[i].Name, name) {
			return i
		}
	}
	for _, a := range aliases {
		for i := range fields {
			if fields[i].Name == a {
				return i
			}
		}
	}
	return -1
}

func (c avroCompiler) arrayNode(n *avroNode, s *avroSchema, t sqltypes.Type) (err error) {
	if t.Kind != sqltypes.KArray {
		return avroMismatch(s, t)
	}
	n.op = avroToArray
	items := s.items
	if b, ok := items.nullable(); ok {
		items = b
	}
	if items.kind == avroArray && t.Elem != sqltypes.KJSONB { // one more dimension of the same array
		n.items = scratchVec(t)
		n.elem, err = c.node(s.items, t)
		return err
	}
	n.items = scratchVec(t.ElemType())
	n.elem, err = c.node(s.items, t.ElemType())
	return err
}

func (c avroCompiler) mapNode(n *avroNode, s *avroSchema, t sqltypes.Type) (err error) {
	if t.Kind != sqltypes.KMap {
		return avroMismatch(s, t)
	}
	kt, vt := t.KeyValue()
	if !kt.IsString() {
		return avroMismatch(s, t)
	}
	n.op, n.keys, n.items = avroToMap, scratchVec(kt), scratchVec(vt)
	n.elem, err = c.node(s.items, vt)
	return err
}

func (c avroCompiler) recordNode(n *avroNode, s *avroSchema, t sqltypes.Type) (err error) {
	if t.Kind != sqltypes.KRecord || !t.HasFields() {
		return avroMismatch(s, t)
	}
	n.op, n.fields = avroToRecord, scratchVecs(t)
	wanted := 0
	for i := range s.fields {
		p := avroPart{schema: s.fields[i].schema, at: fieldNamed(t, s.fields[i].name, s.fields[i].aliases)}
		if p.at >= 0 {
			wanted++
			if p.node, err = c.node(p.schema, t.Fields()[p.at].Type); err != nil {
				return sqlerr.From(err).WithDetail("It is the field %q of %s.", s.fields[i].name, s)
			}
		}
		n.parts = append(n.parts, p)
	}
	if wanted == 0 {
		return avroMismatch(s, t)
	}
	return nil
}
