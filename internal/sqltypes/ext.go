package sqltypes

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// Ext is a handle to what a type has besides its kind and modifier. Handles are interned, so that == on Types
// compares types. There are two sorts: of shapes (the fields of struct<…>, key and value of a map), one handle per
// shape; and of types with a name, one per stamp, whose definition may come later than the handle and may change.
//
// The zero Ext says nothing.
type Ext struct{ e *ext }

type ext struct {
	id    uint64 // stands for the handle in the shapes of others
	stamp uint64 // of a named type, else 0
	def   atomic.Pointer[Def]
}

// Def is what an Ext stands for. It is immutable.
type Def struct {
	// Name, Schema and the OIDs are those of a type made by CREATE TYPE or CREATE DOMAIN.
	Name, Schema  string
	OID, ArrayOID uint32
	// Fields are those of a composite type.
	Fields []RowField
	// Labels are those of an enum, in order.
	Labels []Label
	// Key and Value are those of a map.
	Key, Value Type
	// Base is what a domain restricts, with its modifier. It is never changed.
	Base Type
}

// RowField is one field of a composite type.
type RowField struct {
	Name string
	Type Type
}

// Label is one value of an enum. Place is the value itself: it orders the labels, never changes, and leaves
// room for others between.
type Label struct {
	Name  string
	Place int64
	OID   uint32
}

// interned holds all handles there ever were: types are few, and plans may hold a handle for as long as they live.
var interned struct {
	sync.Mutex
	shapes map[string]*ext
	named  map[uint64]*ext
	next   uint64
}

func newExt(stamp uint64) *ext {
	interned.next++
	return &ext{id: interned.next, stamp: stamp}
}

func shape(key string, def *Def) Ext {
	interned.Lock()
	defer interned.Unlock()
	e := interned.shapes[key]
	if e == nil {
		if interned.shapes == nil {
			interned.shapes = map[string]*ext{}
		}
		e = newExt(0)
		e.def.Store(def)
		interned.shapes[key] = e
	}
	return Ext{e}
}

// key identifies a type within the process.
func (t Type) key() string {
	var id uint64
	if t.Ext.e != nil {
		id = t.Ext.e.id
	}
	return fmt.Sprintf("%d.%d.%d.%d", t.Kind, t.Elem, t.Mod, id)
}

// StructOf returns the composite type without a name that has these fields.
func StructOf(fields []RowField) Type {
	var key strings.Builder
	key.WriteString("struct")
	for _, f := range fields {
		fmt.Fprintf(&key, ",%q %s", f.Name, f.Type.key())
	}
	return Type{Kind: KRecord, Ext: shape(key.String(), &Def{Fields: fields})}
}

// MapOf returns the type of maps from key to value.
func MapOf(key, value Type) Type {
	return Type{Kind: KMap, Ext: shape("map,"+key.key()+","+value.key(), &Def{Key: key, Value: value})}
}

// Named returns the type of the given kind (KRecord, KEnum, or that of a domain's base) that has the stamp, a number
// drawn at CREATE TYPE or CREATE DOMAIN which no other type has, of this or any other server.
func Named(kind Kind, stamp uint64) Type { return Type{Kind: kind, Ext: namedExt(stamp)} }

func namedExt(stamp uint64) Ext {
	interned.Lock()
	defer interned.Unlock()
	e := interned.named[stamp]
	if e == nil {
		if interned.named == nil {
			interned.named = map[uint64]*ext{}
		}
		e = newExt(stamp)
		e.def.Store(&Def{Name: "???"}) // until Define
		interned.named[stamp] = e
	}
	return Ext{e}
}

// Define says what a named type is, from now on and for all that hold it.
func (t Type) Define(d *Def) { t.Ext.e.def.Store(d) }

// IsZero reports whether x says nothing.
func (x Ext) IsZero() bool { return x.e == nil }

// Stamp returns the stamp of a named type, 0 for others.
func (x Ext) Stamp() uint64 {
	if x.e == nil {
		return 0
	}
	return x.e.stamp
}

var noDef Def

// Def returns what x stands for, never nil.
func (x Ext) Def() *Def {
	if x.e == nil {
		return &noDef
	}
	return x.e.def.Load()
}

// named returns the definition of a named type, else nil.
func (x Ext) named() *Def {
	if x.e == nil || x.e.stamp == 0 {
		return nil
	}
	return x.Def()
}

// IsNamed reports whether t (or the elements of the array t) was made by CREATE TYPE or CREATE DOMAIN.
func (t Type) IsNamed() bool { return t.Ext.named() != nil }

// HasFields reports whether t is a composite type whose fields are known.
func (t Type) HasFields() bool { return t.Kind == KRecord && t.Ext.e != nil }

// Fields lists the fields of a composite type, nil for others and for records of which nothing is known.
func (t Type) Fields() []RowField {
	if t.Kind != KRecord {
		return nil
	}
	return t.Underlying().Ext.Def().Fields
}

// Labels lists the labels of an enum, in order.
func (t Type) Labels() []Label { return t.Underlying().Ext.Def().Labels }

// KeyValue returns the two types of a map.
func (t Type) KeyValue() (key, value Type) {
	d := t.Underlying().Ext.Def()
	return d.Key, d.Value
}

// EntryType returns the composite type of a map's entries.
func (t Type) EntryType() Type {
	k, v := t.KeyValue()
	return StructOf([]RowField{{"key", k}, {"value", v}})
}

// name is what format_type prints, of a named type without its schema.
func (x Ext) name(k Kind) string {
	d := x.Def()
	switch {
	case x.e.stamp != 0:
		return quoteName(d.Name)
	case k == KMap:
		return "map(" + d.Key.String() + "," + d.Value.String() + ")"
	case k == KRecord:
		return "record"
	}
	return infos[k].Name
}

// StructString is String, but with the fields of composite types that have no name.
func (t Type) StructString() string {
	switch {
	case t.Kind == KArray && !t.IsDomain():
		return t.ElemType().StructString() + "[]"
	case t.Kind == KRecord && !t.IsNamed() && t.HasFields():
		var b strings.Builder
		b.WriteString("struct<")
		for i, f := range t.Fields() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quoteName(f.Name) + " " + f.Type.StructString())
		}
		return b.String() + ">"
	}
	return t.String()
}

func quoteName(s string) string {
	plain := s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z' || s[0] >= 0x80)
	for i := range len(s) {
		c := s[i]
		plain = plain && (c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 0x80)
	}
	if plain {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// extRecord is how an Ext is written: a named type by its stamp, others by their shape.
type extRecord struct {
	Stamp      uint64     `json:",omitempty"`
	Fields     []RowField `json:",omitempty"`
	Key, Value *Type      `json:",omitempty"`
}

// MarshalJSON writes the handle for the catalog.
func (x Ext) MarshalJSON() ([]byte, error) {
	var r extRecord
	if r.Stamp = x.Stamp(); r.Stamp == 0 && x.e != nil {
		d := x.Def()
		r.Fields = d.Fields
		if d.Key != (Type{}) {
			r.Key, r.Value = &d.Key, &d.Value
		}
	}
	return json.Marshal(r)
}

// UnmarshalJSON finds the handle that was written, or makes one for a type that is not defined yet.
func (x *Ext) UnmarshalJSON(b []byte) error {
	var r extRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("read type: %w", err)
	}
	switch {
	case r.Stamp != 0:
		*x = namedExt(r.Stamp)
	case r.Key != nil && r.Value != nil:
		*x = MapOf(*r.Key, *r.Value).Ext
	default:
		*x = StructOf(r.Fields).Ext
	}
	return nil
}

// GobEncode writes the handle within a plan.
func (x Ext) GobEncode() ([]byte, error) { return x.MarshalJSON() }

// GobDecode reads what GobEncode wrote.
func (x *Ext) GobDecode(b []byte) error { return x.UnmarshalJSON(b) }

// LabelAt returns the label at a place of the enum t.
func (t Type) LabelAt(place int64) (Label, bool) {
	labels := t.Labels()
	for lo, hi := 0, len(labels); lo < hi; {
		m := int(uint(lo+hi) >> 1)
		switch p := labels[m].Place; {
		case p == place:
			return labels[m], true
		case p < place:
			lo = m + 1
		default:
			hi = m
		}
	}
	return Label{}, false
}

// LabelNamed finds a label of the enum t.
func (t Type) LabelNamed(name string) (Label, bool) {
	for _, l := range t.Labels() {
		if l.Name == name {
			return l, true
		}
	}
	return Label{}, false
}
